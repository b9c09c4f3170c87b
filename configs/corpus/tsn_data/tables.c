/*
 * Tables that the TSN sources share. No function lives here.
 *
 * priority_to_class follows the recommendation of IEEE 802.1Q for eight traffic
 * classes; the names are those of the same table.
 */
#include <stdint.h>

const uint8_t priority_to_class[8] = { 1U, 0U, 2U, 3U, 4U, 5U, 6U, 7U };

const char *const priority_name[8] = {
    "best effort",       /* 0 */
    "background",        /* 1 */
    "excellent effort",  /* 2 */
    "critical",          /* 3 */
    "video",             /* 4 */
    "voice",             /* 5 */
    "internetwork",      /* 6 */
    "network control",   /* 7 */
};

const uint32_t default_gcl_interval_ns[4] = { 125000U, 125000U, 250000U, 500000U };
const uint8_t default_gcl_mask[4] = { 0x80U, 0x60U, 0x1CU, 0x03U };
