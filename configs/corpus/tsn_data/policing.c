/* Per-stream filtering and policing (IEEE 802.1Qci). */
#include <stdbool.h>
#include <stdint.h>

/** @brief Police a frame with a token bucket. */
bool police_frame(uint32_t *bucket_bytes, uint32_t frame_bytes)
{
    if (*bucket_bytes < frame_bytes) {
        return false; /* out of contract */
    }
    *bucket_bytes -= frame_bytes;
    return true;
}

/** @brief Refill a token bucket for an elapsed time. */
uint32_t police_refill(uint32_t bucket_bytes, uint32_t rate_bytes_per_ms, uint32_t elapsed_ms, uint32_t size)
{
    const uint64_t filled = (uint64_t)bucket_bytes + ((uint64_t)rate_bytes_per_ms * elapsed_ms);

    return (filled > size) ? size : (uint32_t)filled;
}

/** @brief Check that a frame arrives while the stream gate of its priority is open. */
bool police_gate(uint8_t gate_mask, uint8_t pcp, uint32_t frame_bytes, uint32_t max_bytes)
{
    const bool gate_open = ((gate_mask >> (pcp & 7U)) & 1U) != 0U;

    /* too long a frame would reach into the next interval */
    return gate_open && (frame_bytes <= max_bytes);
}

/** @brief Block a stream after too many frames out of contract. */
bool police_blocks(uint32_t *violations, bool in_contract, uint32_t limit)
{
    if (!in_contract && (*violations < limit)) {
        (*violations)++;
    }
    return *violations >= limit;
}
