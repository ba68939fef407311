/* The combination of two blocks, for every accumulator. */
#ifndef CHIPMETER_COLLECTIVES_ELEMENTS_H
#define CHIPMETER_COLLECTIVES_ELEMENTS_H

#include <string.h>

#include "bits.h"
#include "fpenv.h"
#include "tier.h"
#include "vec.h"

typedef uint16_t word_vector __attribute__((vector_size(4 * VL)));

#define T float
#define U uint32_t
#define NAME(x) f32_##x
#define FLOAT 1
#define NAN_MADE 0xffc00000u
#define NAN_CANONICAL CM_NAN32
#define QUIET 0x400000u
#define WIDE float
#define FMA __builtin_fmaf
#include "collectives/element.inc.c"

#define T double
#define U uint64_t
#define NAME(x) f64_##x
#define FLOAT 1
#define NAN_MADE 0xfff8000000000000ull
#define NAN_CANONICAL CM_NAN64
#define QUIET 0x8000000000000ull
#define WIDE double
#define FMA __builtin_fma
#include "collectives/element.inc.c"

#define T int8_t
#define U uint8_t
#define NAME(x) i8_##x
#define FLOAT 0
#define NAN_MADE 0
#define NAN_CANONICAL 0
#define QUIET 0
#define WIDE int64_t
#include "collectives/element.inc.c"

#define T uint8_t
#define U uint8_t
#define NAME(x) u8_##x
#define FLOAT 0
#define NAN_MADE 0
#define NAN_CANONICAL 0
#define QUIET 0
#define WIDE uint64_t
#include "collectives/element.inc.c"

#define T int16_t
#define U uint16_t
#define NAME(x) i16_##x
#define FLOAT 0
#define NAN_MADE 0
#define NAN_CANONICAL 0
#define QUIET 0
#define WIDE int64_t
#include "collectives/element.inc.c"

#define T uint16_t
#define U uint16_t
#define NAME(x) u16_##x
#define FLOAT 0
#define NAN_MADE 0
#define NAN_CANONICAL 0
#define QUIET 0
#define WIDE uint64_t
#include "collectives/element.inc.c"

#define T int32_t
#define U uint32_t
#define NAME(x) i32_##x
#define FLOAT 0
#define NAN_MADE 0
#define NAN_CANONICAL 0
#define QUIET 0
#define WIDE int64_t
#include "collectives/element.inc.c"

#define T uint32_t
#define U uint32_t
#define NAME(x) u32_##x
#define FLOAT 0
#define NAN_MADE 0
#define NAN_CANONICAL 0
#define QUIET 0
#define WIDE uint64_t
#include "collectives/element.inc.c"

#define T int64_t
#define U uint64_t
#define NAME(x) i64_##x
#define FLOAT 0
#define NAN_MADE 0
#define NAN_CANONICAL 0
#define QUIET 0
#define WIDE int64_t
#include "collectives/element.inc.c"

#define T uint64_t
#define U uint64_t
#define NAME(x) u64_##x
#define FLOAT 0
#define NAN_MADE 0
#define NAN_CANONICAL 0
#define QUIET 0
#define WIDE uint64_t
#include "collectives/element.inc.c"

#endif
