/* VLAN tags: building and taking them apart (IEEE 802.1Q). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** @brief Build the control information of a vlan tag. */
uint16_t vlan_tci(uint8_t pcp, bool drop_eligible, uint16_t vlan_id)
{
    const uint32_t priority = ((uint32_t)pcp & 7U) << 13;
    const uint32_t drop = drop_eligible ? 0x1000U : 0U;

    return (uint16_t)(priority | drop | (vlan_id & 0x0FFFU));
}

/** @brief Extract the pcp of a vlan tag. */
uint8_t vlan_pcp(uint16_t vlan_tag)
{
    return (uint8_t)(vlan_tag >> 13);
}

/** @brief Extract the vlan id of a tag. */
uint16_t vlan_id(uint16_t vlan_tag)
{
    return vlan_tag & 0x0FFFU;
}

/** @brief Replace the pcp of a vlan tag and keep its vlan id. */
uint16_t vlan_set_pcp(uint16_t vlan_tag, uint8_t pcp)
{
    const uint32_t kept = vlan_tag & 0x1FFFU;

    return (uint16_t)(kept | (((uint32_t)pcp & 7U) << 13));
}

/** @brief Check that a vlan id may be used on the wire. */
bool vlan_id_usable(uint16_t vlan_id)
{
    /* 0: priority tag only; 4095: reserved */
    return (vlan_id > 0U) && (vlan_id < 4095U);
}

/** @brief Map the pcp of a frame to a traffic class. */
uint8_t vlan_traffic_class(uint8_t pcp)
{
    /* default mapping for eight classes: background goes below best effort */
    static const uint8_t traffic_class[8] = { 1U, 0U, 2U, 3U, 4U, 5U, 6U, 7U };

    return traffic_class[pcp & 7U];
}

/**
 * @brief Insert a vlan tag behind the addresses of a frame.
 * @param frame the frame, with room for four bytes more
 * @param length bytes of the frame
 * @param tci control information of the tag
 * @return the new length, or the old one if the frame is too short
 */
size_t vlan_insert(uint8_t *frame, size_t length, uint16_t tci)
{
    if (length < 14U) {
        return length;
    }
    /* from the end: the regions overlap */
    for (size_t at = length; at > 12U; at--) {
        frame[at + 3U] = frame[at - 1U];
    }
    frame[12] = 0x81U;
    frame[13] = 0x00U;
    frame[14] = (uint8_t)(tci >> 8);
    frame[15] = (uint8_t)tci;
    return length + 4U;
}

/** @brief Count the frames of each priority. */
void vlan_count_priorities(const uint16_t *vlan_tag, uint32_t frames, uint32_t *count)
{
    for (uint32_t frame = 0U; frame < frames; frame++) {
        const uint32_t pcp = (uint32_t)vlan_tag[frame] >> 13;
        count[pcp] += 1U;
    }
}
