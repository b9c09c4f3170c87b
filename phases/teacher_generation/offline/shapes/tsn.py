"""What the offline teacher can write for TSN: gates, gate control lists, shapers, tags, timestamps."""

from __future__ import annotations

from phases.teacher_generation.offline.shapes.shape import Shape

TSN: tuple[Shape, ...] = (
    Shape(
        "gate_open",
        "check whether the gate of a priority is open in a gate mask",
        """
/** @brief Check whether the gate of a priority is open. */
bool $name(uint8_t gate_mask, uint8_t pcp)
{
    /* one bit for each priority */
    const uint32_t priority = pcp & 7U;
    const uint32_t gate = ((uint32_t)gate_mask >> priority) & 1U;

    return gate != 0U;
}
""",
    ),
    Shape(
        "gate_mask_set",
        "open the gate of one priority and leave the other gates alone",
        """
/** @brief Open the gate of one priority. */
uint8_t $name(uint8_t gate_mask, uint8_t pcp)
{
    /* the other gates stay as they are */
    const uint32_t priority = pcp & 7U;
    const uint32_t open_gate = 1U << priority;

    return (uint8_t)(gate_mask | open_gate);
}
""",
    ),
    Shape(
        "gate_mask_clear",
        "close the gate of one priority in the mask of all gates",
        """
/** @brief Close the gate of one priority. */
uint8_t $name(uint8_t gate_mask, uint8_t pcp)
{
    /* clear one bit of the mask */
    const uint32_t priority = pcp & 7U;
    const uint32_t closed_gate = 0xFFU & ~(1U << priority);

    return (uint8_t)(gate_mask & closed_gate);
}
""",
    ),
    Shape(
        "gcl_active_entry",
        "find the gcl entry that is active at a time in the cycle",
        """
/** @brief Find the gcl entry that is active at a time in the cycle. */
uint32_t $name(const uint32_t *gcl_interval, uint32_t gcl_length, uint32_t schedule_time)
{
    uint32_t gate_end = 0U;
    uint32_t entry;

    /* walk the schedule until its gate ends after the time */
    for (entry = 0U; entry < gcl_length; entry++) {
        gate_end += gcl_interval[entry];
        if (schedule_time < gate_end) {
            break;
        }
    }
    return entry; /* gcl_length: after the last gate */
}
""",
    ),
    Shape(
        "gcl_cycle_sum",
        "add up the gate intervals of a gcl into its cycle time",
        """
/** @brief Add up the gate intervals of a gcl. */
uint64_t $name(const uint32_t *gate_interval, uint32_t gcl_length)
{
    uint64_t schedule_cycle = 0U;

    /* 64 bits: a long schedule does not overflow */
    for (uint32_t entry = 0U; entry < gcl_length; entry++) {
        schedule_cycle += gate_interval[entry];
    }
    return schedule_cycle;
}
""",
    ),
    Shape(
        "gcl_interval_check",
        "check that no gate interval of a gcl is shorter than {n} {unit}",
        """
/** @brief Check that no gate interval of a gcl is too short. */
bool $name(const uint32_t *gate_interval, uint32_t gcl_length)
{
    static const uint32_t schedule_min_$unit = ${n}U;
    bool valid = (gcl_length > 0U);

    /* one short gate spoils the schedule */
    for (uint32_t entry = 0U; entry < gcl_length; entry++) {
        if (gate_interval[entry] < schedule_min_$unit) {
            valid = false;
        }
    }
    return valid;
}
""",
        numbers=(100, 5000, 50),
    ),
    Shape(
        "gcl_open_time",
        "compute how long a gcl keeps the gate of a priority open in a cycle",
        """
/** @brief Compute how long a gcl keeps the gate of a priority open. */
uint64_t $name(const uint8_t *gate_mask, const uint32_t *interval, uint32_t gcl_length, uint8_t priority)
{
    uint64_t open_time = 0U;

    /* only the entries with an open gate count */
    for (uint32_t entry = 0U; entry < gcl_length; entry++) {
        if ((gate_mask[entry] & (1U << (priority & 7U))) != 0U) {
            open_time += interval[entry];
        }
    }
    return open_time;
}
""",
    ),
    Shape(
        "cycle_offset",
        "compute the offset of a timestamp in a schedule cycle of {n} {unit}",
        """
/** @brief Compute the offset of a timestamp in its schedule cycle. */
uint32_t $name(uint64_t timestamp, uint64_t gate_base)
{
    static const uint64_t schedule_cycle_$unit = ${n}U;

    /* before the base time there is no cycle */
    if (timestamp < gate_base) {
        return 0U;
    }
    return (uint32_t)((timestamp - gate_base) % schedule_cycle_$unit);
}
""",
        numbers=(125, 8000, 125),
    ),
    Shape(
        "next_cycle",
        "compute the timestamp at which the next schedule cycle of {n} {unit} starts",
        """
/** @brief Compute the start of the next schedule cycle. */
uint64_t $name(uint64_t timestamp, uint64_t gate_base)
{
    static const uint64_t schedule_cycle_$unit = ${n}U;
    uint64_t next_start = gate_base;

    /* whole cycles since the base time */
    if (timestamp >= gate_base) {
        const uint64_t count = (timestamp - gate_base) / schedule_cycle_$unit;
        next_start = gate_base + ((count + 1U) * schedule_cycle_$unit);
    }
    return next_start;
}
""",
        numbers=(125, 8000, 125),
    ),
    Shape(
        "schedule_drift",
        "check that a frame leaves within {n} {unit} of its schedule",
        """
/** @brief Check that a frame leaves close to its schedule. */
bool $name(uint64_t gate_timestamp, uint64_t schedule_timestamp)
{
    static const uint64_t drift_max_$unit = ${n}U;
    uint64_t drift;

    /* the distance, whichever comes first */
    if (gate_timestamp > schedule_timestamp) {
        drift = gate_timestamp - schedule_timestamp;
    } else {
        drift = schedule_timestamp - gate_timestamp;
    }
    return drift <= drift_max_$unit;
}
""",
        numbers=(10, 900, 10),
    ),
    Shape(
        "pcp_to_class",
        "map the pcp of a vlan tag to a traffic class",
        """
/** @brief Map the pcp of a vlan tag to a traffic class. */
uint8_t $name(uint16_t vlan_tag)
{
    /* default priority mapping of 802.1Q for eight classes */
    static const uint8_t priority_class[8] = { 1U, 0U, 2U, 3U, 4U, 5U, 6U, 7U };
    const uint32_t pcp = ((uint32_t)vlan_tag >> 13) & 7U;

    return priority_class[pcp];
}
""",
    ),
    Shape(
        "vlan_tag_build",
        "build a vlan tag from a priority and a vlan id",
        """
/** @brief Build a vlan tag from a priority and a vlan id. */
uint16_t $name(uint8_t priority, uint16_t vlan_id)
{
    /* pcp: three bits; vlan id: twelve bits */
    const uint32_t pcp = priority & 7U;
    const uint32_t vlan = vlan_id & 0x0FFFU;

    return (uint16_t)((pcp << 13) | vlan);
}
""",
    ),
    Shape(
        "vlan_tag_pcp",
        "extract the pcp from the bytes of a vlan tag",
        """
/** @brief Extract the pcp from the bytes of a vlan tag. */
uint8_t $name(const uint8_t *vlan_tag, uint32_t length)
{
    uint32_t priority = 0U;

    /* the upper three bits of the first byte */
    if (length > 0U) {
        const uint32_t pcp = (uint32_t)vlan_tag[0] >> 5;
        priority = pcp & 7U;
    }
    return (uint8_t)priority;
}
""",
    ),
    Shape(
        "vlan_id_check",
        "check that a vlan id is not reserved and at most {n}",
        """
/** @brief Check that a vlan id may be used. */
bool $name(uint16_t vlan_tag, uint8_t pcp)
{
    static const uint16_t vlan_max = ${n}U;
    const uint16_t vlan_id = vlan_tag & 0x0FFFU;
    const bool priority_tag = (vlan_id == 0U); /* priority without vlan */

    /* the reserved values come first */
    return (pcp < 8U) && !priority_tag && (vlan_id <= vlan_max);
}
""",
        numbers=(100, 4094, 17),
    ),
    Shape(
        "qav_credit_send",
        "lower the qav credit of a shaper while a frame is sent",
        """
/** @brief Lower the qav credit of a shaper while a frame is sent. */
int32_t $name(int32_t qav_credit, uint32_t shaper_slope, uint32_t gate_time)
{
    static const int64_t shaper_low = -1000000;
    int64_t credit = qav_credit;

    /* the send slope takes credit away */
    credit -= (int64_t)shaper_slope * (int64_t)gate_time;
    if (credit < shaper_low) {
        credit = shaper_low;
    }
    return (int32_t)credit;
}
""",
    ),
    Shape(
        "qav_credit_idle",
        "raise the qav credit of a waiting shaper to at most {n}",
        """
/** @brief Raise the qav credit of a waiting shaper. */
int32_t $name(int32_t qav_credit, uint32_t shaper_slope, uint32_t gate_time)
{
    static const int64_t shaper_high = ${n};
    int64_t credit = qav_credit;

    /* the idle slope gives credit back */
    credit += (int64_t)shaper_slope * (int64_t)gate_time;
    if (credit > shaper_high) {
        credit = shaper_high;
    }
    return (int32_t)credit;
}
""",
        numbers=(1000, 90000, 500),
    ),
    Shape(
        "qav_idle_slope",
        "compute the idle slope of a qav shaper as {n} percent of the port rate",
        """
/** @brief Compute the idle slope of a qav shaper. */
uint32_t $name(uint32_t port_rate, uint8_t priority)
{
    static const uint32_t shaper_percent = ${n}U;
    uint64_t qav_slope = 0U;

    /* only the two highest priorities are shaped */
    if ((priority & 7U) >= 6U) {
        qav_slope = ((uint64_t)port_rate * shaper_percent) / 100U;
    }
    return (uint32_t)qav_slope;
}
""",
        numbers=(5, 75, 1),
    ),
    Shape(
        "shaper_may_send",
        "decide whether a qav shaper may send now through its gate",
        """
/** @brief Decide whether a qav shaper may send now. */
bool $name(int32_t qav_credit, uint8_t gate_mask, uint8_t priority)
{
    const uint32_t shaper_bit = 1U << (priority & 7U);
    const bool gate_open = (gate_mask & shaper_bit) != 0U;

    /* the gate first, then the credit */
    return gate_open && (qav_credit >= 0);
}
""",
    ),
    Shape(
        "guard_band",
        "compute the guard band before a gate closes on a port of {n} Mbit/s",
        """
/** @brief Compute the guard band before a gate closes. */
uint32_t $name(uint16_t frame_bytes, uint8_t vlan_count)
{
    static const uint32_t gate_rate_mbit = ${n}U;
    /* preamble and gap: 20 bytes; each vlan tag: 4 bytes */
    const uint32_t priority_bytes = (uint32_t)frame_bytes + 20U + (4U * vlan_count);

    /* bits over Mbit/s are microseconds: times 1000 for nanoseconds */
    return (priority_bytes * 8U * 1000U) / gate_rate_mbit;
}
""",
        numbers=(10, 1000, 10),
    ),
    Shape(
        "window_fit",
        "check that a frame fits into the gate window with {n} {unit} to spare",
        """
/** @brief Check that a frame fits into the rest of its gate window. */
bool $name(uint32_t gate_close, uint32_t timestamp, uint32_t frame_time)
{
    static const uint32_t schedule_spare_$unit = ${n}U;

    /* a closed gate has no window left */
    if (timestamp >= gate_close) {
        return false;
    }
    return (gate_close - timestamp) >= (frame_time + schedule_spare_$unit);
}
""",
        numbers=(20, 2000, 20),
    ),
    Shape(
        "timestamp_difference",
        "compute the signed difference of two timestamps for the gate schedule",
        """
/** @brief Compute the signed difference of two timestamps. */
int64_t $name(uint64_t gate_timestamp, uint64_t schedule_timestamp)
{
    int64_t difference;

    /* subtract the smaller: unsigned values do not go below zero */
    if (gate_timestamp >= schedule_timestamp) {
        difference = (int64_t)(gate_timestamp - schedule_timestamp);
    } else {
        difference = -(int64_t)(schedule_timestamp - gate_timestamp);
    }
    return difference;
}
""",
    ),
    Shape(
        "timestamp_correct",
        "correct a timestamp by the link delay of at most {n} {unit}",
        """
/** @brief Correct a timestamp by the delay of its link. */
uint64_t $name(uint64_t timestamp, uint32_t link_delay, uint8_t priority)
{
    static const uint32_t schedule_delay_max_$unit = ${n}U;
    uint32_t delay = link_delay;

    /* a longer delay is a wrong measurement */
    if ((delay > schedule_delay_max_$unit) || (priority > 7U)) {
        delay = schedule_delay_max_$unit;
    }
    return timestamp + delay;
}
""",
        numbers=(50, 4000, 50),
    ),
    Shape(
        "timestamp_average",
        "average the delays between timestamps of one priority",
        """
/** @brief Average the delays between timestamps of one priority. */
uint32_t $name(const uint32_t *timestamp, const uint8_t *priority, uint32_t count, uint8_t pcp)
{
    uint64_t sum = 0U;
    uint32_t found = 0U;

    /* only the frames of this priority count */
    for (uint32_t frame = 0U; frame < count; frame++) {
        if (priority[frame] == pcp) {
            sum += timestamp[frame];
            found++;
        }
    }
    return (found > 0U) ? (uint32_t)(sum / found) : 0U;
}
""",
    ),
    Shape(
        "highest_priority",
        "select the highest priority whose gate is open and whose queue has frames",
        """
/** @brief Select the highest priority that may send. */
uint8_t $name(uint8_t gate_mask, uint8_t queue_mask)
{
    const uint32_t schedule_mask = (uint32_t)gate_mask & queue_mask;
    uint8_t priority = 8U; /* none */

    /* the last match is the highest priority */
    for (uint8_t pcp = 0U; pcp < 8U; pcp++) {
        if ((schedule_mask & (1U << pcp)) != 0U) {
            priority = pcp;
        }
    }
    return priority;
}
""",
    ),
    Shape(
        "priority_count",
        "count the vlan frames of each priority",
        """
/** @brief Count the vlan frames of each priority. */
void $name(const uint16_t *vlan_tag, uint32_t count, uint32_t *priority_count)
{
    /* the caller clears the eight counters */
    for (uint32_t frame = 0U; frame < count; frame++) {
        const uint32_t pcp = (uint32_t)vlan_tag[frame] >> 13;
        priority_count[pcp & 7U] += 1U;
    }
}
""",
    ),
    Shape(
        "latency_bound",
        "keep the largest latency of a priority and compare it with {n} {unit}",
        """
/** @brief Keep the largest latency of a priority. */
bool $name(uint32_t *priority_latency, uint32_t timestamp_in, uint32_t timestamp_out)
{
    static const uint32_t schedule_bound_$unit = ${n}U;
    const uint32_t latency = timestamp_out - timestamp_in; /* wraps correctly */

    /* remember the worst case */
    if (latency > *priority_latency) {
        *priority_latency = latency;
    }
    return *priority_latency <= schedule_bound_$unit;
}
""",
        numbers=(100, 9000, 100),
    ),
    Shape(
        "vlan_police",
        "police the frames of a vlan with a bucket of {n} bytes",
        """
/** @brief Police the frames of a vlan with a token bucket. */
bool $name(uint32_t *vlan_bucket, uint16_t frame_bytes, uint8_t pcp)
{
    static const uint32_t priority_bucket_max = ${n}U;
    bool pass = false;

    /* the bucket never holds more than its size */
    if (*vlan_bucket > priority_bucket_max) {
        *vlan_bucket = priority_bucket_max;
    }
    if ((pcp < 8U) && (*vlan_bucket >= frame_bytes)) {
        *vlan_bucket -= frame_bytes;
        pass = true; /* enough tokens */
    }
    return pass;
}
""",
        numbers=(1500, 60000, 500),
    ),
    Shape(
        "preempt_check",
        "decide whether a frame of higher priority may preempt the frame on the wire",
        """
/** @brief Decide whether a frame may preempt the one on the wire. */
bool $name(uint8_t express_mask, uint8_t gate_pcp, uint8_t wire_pcp)
{
    const uint32_t gate_priority = 1U << (gate_pcp & 7U);
    const uint32_t wire_priority = 1U << (wire_pcp & 7U);
    const bool express = (express_mask & gate_priority) != 0U;

    /* an express frame is never preempted itself */
    return express && ((express_mask & wire_priority) == 0U);
}
""",
    ),
)
