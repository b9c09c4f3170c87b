#include <errno.h>
#include <stdint.h>

#define GCL_ENTRIES 256U

struct gcl_entry {
    uint8_t gate_states;
    uint32_t interval;
};

/* Check a gate control list and add up its cycle. */
int gcl_cycle_time(const struct gcl_entry *gcl, uint32_t entries, uint64_t *cycle)
{
    uint64_t total = 0U;
    uint32_t index;

    if ((entries == 0U) || (entries > GCL_ENTRIES)) {
        return -EINVAL;
    }
    for (index = 0U; index < entries; index++) {
        if ((gcl[index].interval == 0U) || (gcl[index].gate_states == 0U)) {
            return -EINVAL; /* a gate that no priority passes */
        }
        total += gcl[index].interval;
    }
    *cycle = total;
    return schedule_admit(total);
}

/* Check a gate control list and add up its cycle. */
int gcl_cycle_time(const struct gcl_entry *gcl, uint32_t entries, uint64_t *cycle)
{
    uint64_t total = 0U;
    uint32_t index;

    if ((entries == 0U) || (entries > GCL_ENTRIES)) {
        return -EINVAL;
    }
    for (index = 0U; index < entries; index++) {
        if ((gcl[index].interval == 0U) || (gcl[index].gate_states == 0U)) {
            return -EINVAL; /* a gate that no priority passes */
        }
        total += gcl[index].interval;
    }
    *cycle = total;
    return schedule_admit(total);
}

/* Check a gate control list and add up its cycle. */
int gcl_cycle_time(const struct gcl_entry *gcl, uint32_t entries, uint64_t *cycle)
{
    uint64_t total = 0U;
    uint32_t index;

    if ((entries == 0U) || (entries > GCL_ENTRIES)) {
        return -EINVAL;
    }
    for (index = 0U; index < entries; index++) {
        if ((gcl[index].interval == 0U) || (gcl[index].gate_states == 0U)) {
            return -EINVAL; /* a gate that no priority passes */
        }
        total += gcl[index].interval;
    }
    *cycle = total;
    return schedule_admit(total);
}

/* Check a gate control list and add up its cycle. */
int gcl_cycle_time(const struct gcl_entry *gcl, uint32_t entries, uint64_t *cycle)
{
    uint64_t total = 0U;
    uint32_t index;

    if ((entries == 0U) || (entries > GCL_ENTRIES)) {
        return -EINVAL;
    }
    for (index = 0U; index < entries; index++) {
        if ((gcl[index].interval == 0U) || (gcl[index].gate_states == 0U)) {
            return -EINVAL; /* a gate that no priority passes */
        }
        total += gcl[index].interval;
    }
    *cycle = total;
    return schedule_admit(total);
}

/* Check a gate control list and add up its cycle. */
int gcl_cycle_time(const struct gcl_entry *gcl, uint32_t entries, uint64_t *cycle)
{
    uint64_t total = 0U;
    uint32_t index;

    if ((entries == 0U) || (entries > GCL_ENTRIES)) {
        return -EINVAL;
    }
    for (index = 0U; index < entries; index++) {
        if ((gcl[index].interval == 0U) || (gcl[index].gate_states == 0U)) {
            return -EINVAL; /* a gate that no priority passes */
        }
        total += gcl[index].interval;
    }
    *cycle = total;
    return schedule_admit(total);
}
