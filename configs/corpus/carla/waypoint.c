// Waypoints of a route. Positions are millimetres in the plane of the map.
#include <stdbool.h>
#include <stdint.h>

struct waypoint {
    int32_t x;
    int32_t y;
    uint32_t speed_limit; // mm/s
};

// Compute the squared distance between two points.
int64_t waypoint_distance_squared(int32_t x1, int32_t y1, int32_t x2, int32_t y2)
{
    const int64_t dx = (int64_t)x2 - x1;
    const int64_t dy = (int64_t)y2 - y1;

    return (dx * dx) + (dy * dy);
}

// Find the waypoint that is nearest to a vehicle.
uint32_t waypoint_nearest(const struct waypoint *route, uint32_t length, int32_t x, int32_t y)
{
    int64_t best = INT64_MAX;
    uint32_t nearest = 0U;

    for (uint32_t i = 0U; i < length; i++) {
        const int64_t distance = waypoint_distance_squared(route[i].x, route[i].y, x, y);
        if (distance < best) {
            best = distance;
            nearest = i;
        }
    }
    return nearest;
}

// Decide whether a vehicle has reached a waypoint.
bool waypoint_reached(const struct waypoint *target, int32_t x, int32_t y, int32_t radius)
{
    const int64_t reach = (int64_t)radius * radius;

    return waypoint_distance_squared(target->x, target->y, x, y) <= reach;
}

// Choose the lowest speed limit of the next waypoints.
uint32_t waypoint_speed_ahead(const struct waypoint *route, uint32_t length, uint32_t from, uint32_t count)
{
    uint32_t limit = UINT32_MAX;

    for (uint32_t i = from; (i < length) && (i < (from + count)); i++) {
        if (route[i].speed_limit < limit) {
            limit = route[i].speed_limit;
        }
    }
    return limit;
}

// Tell on which side of a route segment a vehicle is: positive is left.
int64_t waypoint_side(const struct waypoint *start, const struct waypoint *end, int32_t x, int32_t y)
{
    const int64_t segment_x = (int64_t)end->x - start->x;
    const int64_t segment_y = (int64_t)end->y - start->y;

    return (segment_x * ((int64_t)y - start->y)) - (segment_y * ((int64_t)x - start->x));
}
