# The floating-point environment of the kernels, for whole-matrix steps that NumPy does.

cdef extern from "fpenv.h" nogil:
    ctypedef struct cm_fpenv:
        pass

    cm_fpenv cm_fpenv_enter()
    void cm_fpenv_leave(cm_fpenv)


cdef class ieee_environment:
    """Round to nearest even with subnormals kept, in this thread, while the context lasts."""

    cdef cm_fpenv saved

    def __enter__(self):
        self.saved = cm_fpenv_enter()
        return self

    def __exit__(self, kind, value, traceback):
        cm_fpenv_leave(self.saved)
