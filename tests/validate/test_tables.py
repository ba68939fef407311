"""Tables of measurements are data from outside: broken ones are refused with one clear error."""

from pathlib import Path

import pytest

from chipmeter.validate import read_folder, read_table, validate


def write(tmp_path: Path, data: bytes, name: str = "op_gemm.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no header"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a,b\n1,\0\n", "not a text file"),
        (b"a,a\n1,2\n", "'a' appears twice"),
        (b"a,b\n1,2,3\n", "line 2 has 3 cells"),
        (b'a,b\n"1,2\n', "line"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, data))


@pytest.mark.parametrize("cell", ["", "-1", "0", "nan", "inf", "1e999", "=1+1", "one"])
def test_a_cell_that_is_no_positive_number_is_named(tmp_path: Path, cell: str) -> None:
    write(tmp_path, f"accel,dtype,m,n,k,latency_us\nH100-SXM,bfloat16,1,{cell},3,4\n".encode())
    with pytest.raises(ValueError, match="op_gemm: line 2, n: expected a positive number"):
        validate(tmp_path)


def test_a_missing_column_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    write(tmp_path, b"accel,m\nH100,1\n")
    with pytest.raises(ValueError, match="no column dtype, n, k; there are accel, m"):
        validate(tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        read_folder(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no \.csv file"):
        read_folder(tmp_path / "empty")


def test_a_table_nobody_knows_is_named_and_not_scored(tmp_path: Path) -> None:
    write(tmp_path, b"a\n1\n", "weather.csv")
    report = validate(tmp_path)
    assert report.skipped == ("weather",)
    assert report.tables == ()
