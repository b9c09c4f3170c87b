/* Credit based shaper of IEEE 802.1Qav. Slopes are bits per second, credit is bits. */
#include "tsn.h"

#define NS_PER_S 1000000000LL

/** @brief Give a waiting shaper the credit of an elapsed time. */
void shaper_wait(struct shaper *qav, uint32_t elapsed_ns)
{
    qav->credit += ((int64_t)qav->idle_slope * elapsed_ns) / NS_PER_S;
    if (qav->credit > qav->hi_credit) {
        qav->credit = qav->hi_credit;
    }
}

/** @brief Take the credit of a frame from a sending shaper. */
void shaper_send(struct shaper *qav, uint32_t elapsed_ns)
{
    /* the send slope is negative: idle slope minus port rate */
    const int64_t send_slope = (int64_t)qav->idle_slope - (int64_t)qav->port_rate;

    qav->credit += (send_slope * elapsed_ns) / NS_PER_S;
    if (qav->credit < qav->lo_credit) {
        qav->credit = qav->lo_credit;
    }
}

/** @brief Reset the credit of a shaper whose queue ran empty. */
void shaper_queue_empty(struct shaper *qav)
{
    /* credit that nobody waited for is lost; debt stays */
    if (qav->credit > 0) {
        qav->credit = 0;
    }
}

/** @brief Decide whether a shaper may start a frame. */
bool shaper_may_send(int32_t qav_credit, uint8_t gate_mask, uint8_t priority)
{
    const uint32_t gate = 1U << (priority & 7U);

    return (qav_credit >= 0) && ((gate_mask & gate) != 0U);
}

/** @brief Compute the idle slope of a shaper from a share of the port rate. */
uint32_t shaper_idle_slope(uint32_t port_rate, uint8_t percent)
{
    /* more than three quarters would starve everybody else */
    const uint64_t share = (percent > 75U) ? 75U : percent;

    return (uint32_t)((port_rate * share) / 100U);
}

/**
 * @brief Compute the largest credit that a shaper can collect.
 * @param interference_bytes largest frame that may be on the wire before ours
 * @param idle_slope slope of the shaper in bits per second
 * @param port_rate rate of the port in bits per second
 */
uint32_t shaper_hi_credit(uint32_t interference_bytes, uint32_t idle_slope, uint32_t port_rate)
{
    const uint64_t bits = (uint64_t)interference_bytes * 8U;

    if (port_rate == 0U) {
        return 0U;
    }
    return (uint32_t)((bits * idle_slope) / port_rate);
}

/** @brief Compute how long a shaper must wait until its credit is no longer negative. */
uint32_t shaper_wait_time(int32_t qav_credit, uint32_t idle_slope)
{
    uint64_t debt;

    if ((qav_credit >= 0) || (idle_slope == 0U)) {
        return 0U;
    }
    debt = (uint64_t)(-(int64_t)qav_credit);
    /* round up: a little too long is right, a little too short is not */
    return (uint32_t)(((debt * 1000000000U) + idle_slope - 1U) / idle_slope);
}
