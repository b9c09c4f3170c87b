#include <errno.h>
#include <stdint.h>

#define N 256U

struct E {
    uint8_t g;
    uint32_t i;
};

/* Check a gate control list and add up its cycle. */
int f(const struct E *l, uint32_t n, uint64_t *c)
{
    uint64_t t = 0U;
    uint32_t k;

    if ((n == 0U) || (n > N)) {
        return -EINVAL;
    }
    for (k = 0U; k < n; k++) {
        if ((l[k].i == 0U) || (l[k].g == 0U)) {
            return -EINVAL; /* a gate that no priority passes */
        }
        t += l[k].i;
    }
    *c = t;
    return s(t);
}
