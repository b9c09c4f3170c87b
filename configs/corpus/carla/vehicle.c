/**
 * @file vehicle.c
 * @brief Control of a simulated vehicle. Throttle and brake are thousandths, angles are milliradians.
 */
#include <stdbool.h>
#include <stdint.h>

/** What is sent to the simulator in each step. */
struct vehicle_control {
    int32_t throttle;
    int32_t brake;
    int32_t steer;
    bool hand_brake;
    bool reverse;
};

/** @brief Limit a value to a range. */
int32_t vehicle_clamp(int32_t value, int32_t low, int32_t high)
{
    if (value < low) {
        return low;
    }
    return (value > high) ? high : value;
}

/** @brief Turn a wanted acceleration into throttle and brake. */
void vehicle_accelerate(struct vehicle_control *control, int32_t acceleration)
{
    /* never both pedals at once */
    if (acceleration >= 0) {
        control->throttle = vehicle_clamp(acceleration, 0, 1000);
        control->brake = 0;
    } else {
        control->throttle = 0;
        control->brake = vehicle_clamp(-acceleration, 0, 1000);
    }
}

/** @brief Bring a vehicle to a stop as fast as it can. */
void vehicle_emergency_stop(struct vehicle_control *control)
{
    control->throttle = 0;
    control->brake = 1000;
    control->hand_brake = true;
}

/** @brief Limit how fast the steering angle changes. */
int32_t vehicle_steer(int32_t angle, int32_t target, int32_t step_max)
{
    int32_t step = target - angle;

    if (step > step_max) {
        step = step_max;
    } else if (step < -step_max) {
        step = -step_max;
    }
    return angle + step;
}

/** @brief Compute the braking distance of a vehicle in millimetres. */
uint32_t vehicle_brake_distance(uint32_t speed_mm_s, uint32_t deceleration_mm_s2)
{
    const uint64_t squared = (uint64_t)speed_mm_s * speed_mm_s;

    if (deceleration_mm_s2 == 0U) {
        return UINT32_MAX;
    }
    return (uint32_t)(squared / (2U * (uint64_t)deceleration_mm_s2));
}

/** @brief Compute the time to a collision with the vehicle ahead in milliseconds. */
uint32_t vehicle_time_to_collision(uint32_t gap_mm, uint32_t own_speed_mm_s, uint32_t other_speed_mm_s)
{
    /* who is not faster never meets the other */
    if (own_speed_mm_s <= other_speed_mm_s) {
        return UINT32_MAX;
    }
    return (uint32_t)(((uint64_t)gap_mm * 1000U) / (own_speed_mm_s - other_speed_mm_s));
}
