/* Behind library.c: what the stand-ins of functions that are nowhere share (stand_ins.py writes those themselves).
 *
 * A call is noted, name and numbers, for the host to compare. What it gives is made from `sandbox_seed`, its name and what it
 * was given, so that who asks the same is told the same; after many calls something else, or a loop that waits would not end.
 */
enum { NAME = 1, WHOLE, REAL, POINTER, NOTES = 512, PATIENCE = 16 };
u64 sandbox_seed; /* set by the host, another one for each call */
u64 sandbox_notes[NOTES][2]; /* (kind, value), so many */
u64 sandbox_noted;
static u64 asked, calls;

static u64 mixed(u64 x)
{
    x += 0x9E3779B97F4A7C15; x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9; x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
}
static void note(u64 kind, u64 value)
{
    asked = mixed(asked ^ (kind == POINTER ? value != 0 : value)); /* where something lies is not the same in two programs */
    if (sandbox_noted < NOTES) { sandbox_notes[sandbox_noted][0] = kind; sandbox_notes[sandbox_noted++][1] = value; }
}
void sandbox_begin(u64 seed) { sandbox_seed = seed; sandbox_noted = calls = 0; }
void sandbox_called(u64 name, int noted)
{
    asked = mixed(sandbox_seed ^ (calls++ / PATIENCE));
    if (noted) note(NAME, name); else asked = mixed(asked ^ name);
}
/* `kind` is what __builtin_classify_type says: 5 a pointer, 8 a float, 12 and 13 structures and unions, else a whole number. */
void sandbox_taken(int kind, int has_sign, const void *at, size_t size)
{
    u64 value = 0;
    if (kind == 12 || kind == 13 || size > 8) return;
    __builtin_memcpy(&value, at, size);
    if (kind == 8) {
        double real = size == 4 ? (double)*(const float *)at : *(const double *)at;
        __builtin_memcpy(&value, &real, 8);
        note(REAL, value);
    } else if (kind == 5) {
        note(POINTER, value);
    } else {
        if (has_sign && size < 8 && value >> (8 * size - 1)) value |= ~0ULL << (8 * size);
        note(WHOLE, value);
    }
}
void sandbox_gives(int kind, int has_sign, int is_bool, void *at, size_t size, void *room)
{
    u64 drawn = asked = mixed(asked), more = drawn >> 8;
    static const long long usual[] = { 0, 0, 1, -1, 0, 2 };
    if (!at || kind == 12 || kind == 13 || size > 8) return;
    if (kind == 5) {
        void *where = drawn % 8 ? room : 0;
        __builtin_memcpy(at, &where, size);
    } else if (kind == 8) {
        double real = (double)(more % 4001) / 16.0 - 125.0;
        float less = (float)real;
        __builtin_memcpy(at, size == 4 ? (void *)&less : (void *)&real, size);
    } else {
        long long value = drawn % 8 < 6 ? usual[drawn % 8] : drawn % 8 == 6 ? (long long)(more % 256) : (long long)more;
        if (value < 0 && !has_sign) value = (long long)(more % 16);
        if (is_bool) value = more & 1;
        __builtin_memcpy(at, &value, size);
    }
}
