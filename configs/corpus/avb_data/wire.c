/* Copies of what the talker firmware uses: the same functions, kept beside their callers there. */
#include <stdbool.h>
#include <stdint.h>

/** @brief Pack a 16-bit sample into a payload in network order. */
void avtp_pack_16(uint8_t *payload, int16_t sample)
{
    const uint32_t bits = (uint16_t)sample;

    payload[0] = (uint8_t)(bits >> 8);
    payload[1] = (uint8_t)bits;
}

/** @brief Unpack a 16-bit sample from a payload. */
int16_t avtp_unpack_16(const uint8_t *payload)
{
    const uint32_t bits = ((uint32_t)payload[0] << 8) | payload[1];

    return (int16_t)bits;
}

/** @brief Check whether the gate of a traffic class is open. */
bool gate_is_open(uint8_t gate_mask, uint8_t traffic_class)
{
    return ((gate_mask >> (traffic_class & 7U)) & 1U) != 0U;
}
