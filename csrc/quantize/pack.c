/* One-byte codes of four and six bits to dense bytes and back. */
#include "quantize/entries.h"
#include "quantize/values.h"

/* whole groups: two codes of four bits in a byte, four of six in three bytes, the first lowest */
void CM_NAME(cm_pack)(const uint8_t *restrict codes, uint8_t *restrict packed, size_t groups, int bits)
{
    if (bits == 4) {
        for (size_t g = 0; g < groups; g++) packed[g] = (uint8_t)((codes[2 * g] & 15) | codes[2 * g + 1] << 4);
        return;
    }
    for (size_t g = 0; g < groups; g++) {
        const uint32_t a = codes[4 * g] & 63, b = codes[4 * g + 1] & 63, c = codes[4 * g + 2] & 63, d = codes[4 * g + 3] & 63;
        packed[3 * g] = (uint8_t)(a | b << 6), packed[3 * g + 1] = (uint8_t)(b >> 2 | c << 4);
        packed[3 * g + 2] = (uint8_t)(c >> 4 | d << 2);
    }
}
