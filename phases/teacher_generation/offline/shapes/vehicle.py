"""What the offline teacher can write for vehicles as CARLA simulates them: control, sensors, waypoints."""

from __future__ import annotations

from phases.teacher_generation.offline.shapes.shape import Shape

VEHICLE: tuple[Shape, ...] = (
    Shape(
        "throttle_limit",
        "limit the throttle of a vehicle to {n} percent",
        """
/** @brief Limit the throttle of a vehicle. */
uint8_t $name(uint8_t throttle, bool brake_pressed)
{
    static const uint8_t throttle_max = ${n}U;

    /* the brake always wins */
    if (brake_pressed) {
        return 0U;
    }
    return (throttle > throttle_max) ? throttle_max : throttle;
}
""",
        numbers=(10, 100, 1),
    ),
    Shape(
        "pid_step",
        "compute one step of a pid speed controller",
        """
/** @brief Compute one step of a pid speed controller. */
int32_t $name(int32_t error, int32_t *integral, int32_t *previous, const int32_t *gain)
{
    /* the derivative needs the error of the step before */
    const int32_t derivative = error - *previous;

    *integral += error;
    *previous = error;

    /* gains in thousandths */
    return ((gain[0] * error) + (gain[1] * *integral) + (gain[2] * derivative)) / 1000;
}
""",
    ),
    Shape(
        "brake_distance",
        "compute the braking distance of a vehicle at a deceleration of {n} mm/s2",
        """
/** @brief Compute the braking distance of a vehicle in millimetres. */
uint32_t $name(uint32_t speed_mm_s)
{
    static const uint64_t deceleration = ${n}U;

    /* half of the squared speed over the deceleration */
    const uint64_t squared = (uint64_t)speed_mm_s * speed_mm_s;

    return (uint32_t)(squared / (2U * deceleration));
}
""",
        numbers=(1000, 9000, 100),
    ),
    Shape(
        "steering_rate",
        "limit how fast the steering angle of a vehicle changes to {n} a step",
        """
/** @brief Limit how fast the steering angle changes. */
int32_t $name(int32_t angle, int32_t target)
{
    static const int32_t step_max = ${n};
    int32_t step = target - angle;

    /* both directions have the same limit */
    if (step > step_max) {
        step = step_max;
    } else if (step < -step_max) {
        step = -step_max;
    }
    return angle + step;
}
""",
        numbers=(5, 500, 5),
    ),
    Shape(
        "waypoint_near",
        "find the waypoint of a route that is nearest to the vehicle",
        """
/** @brief Find the waypoint that is nearest to the vehicle. */
uint32_t $name(const int32_t *waypoint_x, const int32_t *waypoint_y, uint32_t count, int32_t x, int32_t y)
{
    uint64_t nearest = UINT64_MAX;
    uint32_t index = 0U;

    /* squared distances compare like distances */
    for (uint32_t waypoint = 0U; waypoint < count; waypoint++) {
        const int64_t dx = (int64_t)waypoint_x[waypoint] - x;
        const int64_t dy = (int64_t)waypoint_y[waypoint] - y;
        const uint64_t distance = (uint64_t)((dx * dx) + (dy * dy));
        if (distance < nearest) {
            nearest = distance;
            index = waypoint;
        }
    }
    return index;
}
""",
    ),
    Shape(
        "sensor_median",
        "take the median of three readings of a sensor",
        """
/** @brief Take the median of three readings of a sensor. */
int32_t $name(int32_t first, int32_t second, int32_t third)
{
    /* order the first two */
    const int32_t low = (first < second) ? first : second;
    const int32_t high = (first < second) ? second : first;

    /* the third decides */
    if (third < low) {
        return low;
    }
    return (third > high) ? high : third;
}
""",
    ),
    Shape(
        "sensor_timeout",
        "check that a sensor has reported within {n} {unit}",
        """
/** @brief Check that a sensor has reported in time. */
bool $name(uint32_t now, uint32_t last_report)
{
    static const uint32_t timeout_$unit = ${n}U;

    /* the difference is right even when the clock wraps */
    return (now - last_report) <= timeout_$unit;
}
""",
        numbers=(10, 2000, 10),
    ),
    Shape(
        "lane_offset",
        "decide whether a vehicle is more than {n} mm off the middle of its lane",
        """
/** @brief Decide whether a vehicle is off the middle of its lane. */
bool $name(int32_t lane_left_mm, int32_t lane_right_mm, int32_t position_mm)
{
    static const int32_t offset_max_mm = ${n};
    const int32_t middle_mm = (lane_left_mm + lane_right_mm) / 2;
    const int32_t offset_mm = position_mm - middle_mm;

    /* either side counts */
    return (offset_mm > offset_max_mm) || (offset_mm < -offset_max_mm);
}
""",
        numbers=(100, 1500, 50),
    ),
)
