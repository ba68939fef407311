/* The kernels without Python: for other compilers, emulated machines and sanitizers.
 *
 * On every tier that was built and that this CPU runs: known answers; then every kernel of the table on fixed inputs,
 * twice, the second time with flush-to-zero and a directed rounding left on by the caller. Outputs must hash alike on
 * all tiers, and as recorded in hashes.txt where that file is given: on all machines.
 *
 *     selftest [hashes.txt]      exit 0 when all agree, 1 otherwise; the hashes go to stdout
 */
#include "support.h"

enum { MOST = 64 };

#if defined(__x86_64__)
#include <xmmintrin.h>
typedef unsigned int environment;
static environment get_environment(void) { return _mm_getcsr() & ~0x3fu; } /* without the sticky flags */
static void set_environment(environment e) { _mm_setcsr(e); }
#define HOSTILE 0xdfc0u /* FTZ, DAZ, round up, all traps masked */
#elif defined(__aarch64__)
typedef uint64_t environment;
static environment get_environment(void)
{
    environment e;
    __asm__ volatile("mrs %0, fpcr" : "=r"(e));
    return e;
}
static void set_environment(environment e) { __asm__ volatile("msr fpcr, %0" : : "r"(e)); }
#define HOSTILE ((environment)1 << 24 | (environment)1 << 22) /* FZ, round up */
#else
typedef int environment;
static environment get_environment(void) { return 0; }
static void set_environment(environment e) { (void)e; }
#define HOSTILE 0
#endif

static size_t sweep(const cm_kernels *k, result *out)
{
    size_t n = sweep_formats(k, out);
    n += sweep_matmul(k, out + n);
    n += sweep_collectives(k, out + n);
    return n + sweep_dequantize(k, out + n);
}

static void check_tier(const cm_kernels *k, result *first, size_t *count)
{
    tier_name = k->tier;
    known_answers(k);
    for (int hostile = 0; hostile < 2; hostile++) {
        result found[MOST];
        const environment before = get_environment();
        if (hostile) set_environment(HOSTILE);
        const environment given = get_environment();
        size_t n = sweep(k, found);
        EXPECT(get_environment() == given, "a kernel left the floating-point environment changed");
        set_environment(before);
        if (*count == 0) memcpy(first, found, (*count = n) * sizeof *first);
        for (size_t i = 0; i < n; i++)
            EXPECT(found[i].value == first[i].value, "%s: %016llx, expected %016llx%s", found[i].kernel,
                   (unsigned long long)found[i].value, (unsigned long long)first[i].value,
                   hostile ? " (flush to zero and round up were set)" : "");
    }
}

/* lines of "hash name", as this program prints them */
static void compare_with(const char *path, const result *first, size_t count)
{
    FILE *file = fopen(path, "r");
    EXPECT(file, "cannot open %s", path);
    if (!file) return;
    unsigned long long value;
    char name[128];
    size_t i = 0;
    for (; fscanf(file, "%llx %127[^\n]", &value, name) == 2; i++)
        EXPECT(i < count && strcmp(name, first[i].kernel) == 0 && value == first[i].value, "%s: %s is recorded as %016llx", path,
               name, value);
    EXPECT(i == count, "%s records %zu results, this program has %zu", path, i, count);
    fclose(file);
}

int main(int argc, char **argv)
{
    result first[MOST];
    size_t count = 0;
    fprintf(stderr, "%s; tiers:", cm_compiler());
    for (size_t t = 0; t < cm_tier_count(); t++) fprintf(stderr, " %s", cm_tier(t)->tier);
    fputc('\n', stderr);
    EXPECT(cm_tier_count() > 0, "this CPU runs none of the built tiers");
    for (size_t t = 0; t < cm_tier_count(); t++) check_tier(cm_tier(t), first, &count);
    for (size_t i = 0; i < count; i++) printf("%016llx %s\n", (unsigned long long)first[i].value, first[i].kernel);
    tier_name = "all";
    if (argc > 1) compare_with(argv[1], first, count);
    fprintf(stderr, "%s\n", failures ? "FAILED" : "all kernels agree");
    return failures != 0;
}
