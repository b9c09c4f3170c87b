/* The C library of the sandbox: what functions that compute need, and nothing that reaches out of it.
 *
 * A null pointer traps, and so does what goes beyond an object whose size the compiler knows (`..._within`). What would
 * be printed is dropped. Memory comes from one end and is never given back: a call is short.
 */
typedef __SIZE_TYPE__ size_t;
typedef unsigned char byte;
typedef unsigned long long u64;

__attribute__((weak)) int errno;
byte *sandbox_heap; /* set by the host: where malloc takes from */
byte *sandbox_heap_end;
byte sandbox_fill; /* what lies in memory that nobody has written */
void *sandbox_given[2]; /* set by the host: the arguments of a call, and where its result goes */

#define TRAP_UNLESS(truth) do { if (!(truth)) __builtin_trap(); } while (0)
#define TRAP_IF_NULL(p) TRAP_UNLESS((p) != 0)

#pragma clang attribute push(__attribute__((weak)), apply_to = function) /* a text may have its own */
void *memcpy(void *to, const void *from, size_t n)
{
    byte *t = to; const byte *f = from;
    if (n) { TRAP_IF_NULL(to); TRAP_IF_NULL(from); }
    for (size_t i = 0; i < n; i++) t[i] = f[i];
    return to;
}
void *memmove(void *to, const void *from, size_t n)
{
    byte *t = to; const byte *f = from;
    if (n) { TRAP_IF_NULL(to); TRAP_IF_NULL(from); }
    if (t < f) for (size_t i = 0; i < n; i++) t[i] = f[i];
    else for (size_t i = n; i-- > 0;) t[i] = f[i];
    return to;
}
void *memset(void *at, int value, size_t n)
{
    if (n) TRAP_IF_NULL(at);
    for (size_t i = 0; i < n; i++) ((byte *)at)[i] = (byte)value;
    return at;
}
int memcmp(const void *a, const void *b, size_t n)
{
    const byte *x = a, *y = b;
    if (n) { TRAP_IF_NULL(a); TRAP_IF_NULL(b); }
    for (; n--; x++, y++) if (*x != *y) return *x < *y ? -1 : 1;
    return 0;
}
void *memchr(const void *in, int value, size_t n)
{
    const byte *x = in;
    if (n) TRAP_IF_NULL(in);
    for (; n--; x++) if (*x == (byte)value) return (void *)x;
    return 0;
}
size_t strlen(const char *text) { TRAP_IF_NULL(text); const char *t = text; while (*t) t++; return (size_t)(t - text); }
size_t strnlen(const char *text, size_t n) { size_t i = 0; TRAP_IF_NULL(text); while (i < n && text[i]) i++; return i; }
char *strcpy(char *to, const char *from) { return memcpy(to, from, strlen(from) + 1); }
char *strncpy(char *to, const char *from, size_t n)
{
    size_t i = 0;
    if (n) { TRAP_IF_NULL(to); TRAP_IF_NULL(from); }
    for (; i < n && from[i]; i++) to[i] = from[i];
    for (; i < n; i++) to[i] = 0;
    return to;
}
char *strcat(char *to, const char *from) { strcpy(to + strlen(to), from); return to; }
char *strncat(char *to, const char *from, size_t n)
{
    char *end = to + strlen(to);
    size_t length = strnlen(from, n);
    memcpy(end, from, length);
    end[length] = 0;
    return to;
}
int strncmp(const char *a, const char *b, size_t n)
{
    if (n) { TRAP_IF_NULL(a); TRAP_IF_NULL(b); }
    for (; n; n--, a++, b++) {
        if (*a != *b) return (byte)*a < (byte)*b ? -1 : 1;
        if (!*a) break;
    }
    return 0;
}
int strcmp(const char *a, const char *b) { return strncmp(a, b, (size_t)-1); }
int tolower(int c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }
int toupper(int c) { return c >= 'a' && c <= 'z' ? c - 32 : c; }
int strcasecmp(const char *a, const char *b)
{
    TRAP_IF_NULL(a); TRAP_IF_NULL(b);
    while (*a && tolower(*a) == tolower(*b)) a++, b++;
    return tolower(*a) - tolower(*b);
}
char *strchr(const char *in, int c)
{
    TRAP_IF_NULL(in);
    for (;; in++) { if (*in == (char)c) return (char *)in; if (!*in) return 0; }
}
char *strrchr(const char *in, int c)
{
    const char *found = 0;
    TRAP_IF_NULL(in);
    for (;; in++) { if (*in == (char)c) found = in; if (!*in) return (char *)found; }
}
char *strstr(const char *in, const char *text)
{
    size_t n = strlen(text);
    TRAP_IF_NULL(in);
    for (;; in++) { if (!strncmp(in, text, n)) return (char *)in; if (!*in) return 0; }
}
size_t strspn(const char *text, const char *of) { size_t n = 0; while (text[n] && strchr(of, text[n])) n++; return n; }
size_t strcspn(const char *text, const char *of) { size_t n = 0; while (text[n] && !strchr(of, text[n])) n++; return n; }
int *__errno_location(void) { return &errno; }
char *strerror(int number) { return number ? "an error" : "no error"; }

void *malloc(size_t n)
{
    size_t left = (size_t)(sandbox_heap_end - sandbox_heap);
    if (n > left || n + 32 > left) return 0;
    byte *at = sandbox_heap;
    *(size_t *)at = n;
    sandbox_heap += (n + 32 + 15) & ~(size_t)15;
    __builtin_memset(at + 16, sandbox_fill, n); /* one instruction, whatever n */
    return at + 16;
}
void *calloc(size_t count, size_t n)
{
    size_t all;
    if (__builtin_mul_overflow(count, n, &all)) return 0;
    void *at = malloc(all);
    return at ? memset(at, 0, all) : 0;
}
void *realloc(void *old, size_t n)
{
    void *at = malloc(n);
    if (at && old) { size_t had = *(size_t *)((byte *)old - 16); memcpy(at, old, had < n ? had : n); }
    return at;
}
void free(void *at) { (void)at; }
char *strdup(const char *text) { size_t n = strlen(text) + 1; char *at = malloc(n); return at ? memcpy(at, text, n) : 0; }
_Noreturn void abort(void) { __builtin_trap(); }
_Noreturn void exit(int code) { (void)code; __builtin_trap(); }

void *memcpy_within(void *to, const void *from, size_t n, size_t room, size_t there)
{
    TRAP_UNLESS(n <= room && n <= there);
    return memcpy(to, from, n);
}
void *memmove_within(void *to, const void *from, size_t n, size_t room, size_t there)
{
    TRAP_UNLESS(n <= room && n <= there);
    return memmove(to, from, n);
}
void *memset_within(void *at, int value, size_t n, size_t room) { TRAP_UNLESS(n <= room); return memset(at, value, n); }
char *strcpy_within(char *to, const char *from, size_t room) { TRAP_UNLESS(strlen(from) < room); return strcpy(to, from); }
char *strncpy_within(char *to, const char *from, size_t n, size_t room)
{
    TRAP_UNLESS(n <= room);
    return strncpy(to, from, n);
}
char *strcat_within(char *to, const char *from, size_t room)
{
    TRAP_UNLESS(strlen(to) + strlen(from) < room);
    return strcat(to, from);
}
char *strncat_within(char *to, const char *from, size_t n, size_t room)
{
    TRAP_UNLESS(strlen(to) + strnlen(from, n) < room);
    return strncat(to, from, n);
}

int isdigit(int c) { return c >= '0' && c <= '9'; }
int isupper(int c) { return c >= 'A' && c <= 'Z'; }
int islower(int c) { return c >= 'a' && c <= 'z'; }
int isalpha(int c) { return isupper(c) || islower(c); }
int isalnum(int c) { return isalpha(c) || isdigit(c); }
int isspace(int c) { return c == ' ' || (c >= 9 && c <= 13); }
int isxdigit(int c) { return isdigit(c) || (tolower(c) >= 'a' && tolower(c) <= 'f'); }
int isprint(int c) { return c >= 32 && c < 127; }
int abs(int value) { return value < 0 ? -value : value; }
long labs(long value) { return value < 0 ? -value : value; }
long long llabs(long long value) { return value < 0 ? -value : value; }

#pragma clang attribute pop
static u64 magnitude(const char *text, char **end, int base, int *negative, int *none)
{
    const char *t = text;
    u64 value = 0;
    *none = 1;
    TRAP_IF_NULL(text);
    while (isspace(*t)) t++;
    *negative = *t == '-';
    if (*t == '-' || *t == '+') t++;
    if ((base == 0 || base == 16) && t[0] == '0' && (t[1] | 32) == 'x' && isxdigit(t[2])) { t += 2; base = 16; }
    if (base == 0) base = *t == '0' ? 8 : 10;
    for (;; t++) {
        int digit = isdigit(*t) ? *t - '0' : isalpha(*t) ? tolower(*t) - 'a' + 10 : 99;
        if (digit >= base) break;
        if (__builtin_mul_overflow(value, (u64)base, &value) || __builtin_add_overflow(value, (u64)digit, &value)) {
            value = ~0ULL;
            errno = 34;
        }
        *none = 0;
    }
    if (end) *end = (char *)(*none ? text : t);
    return value;
}
#pragma clang attribute push(__attribute__((weak)), apply_to = function) /* a text may have its own */
unsigned long long strtoull(const char *text, char **end, int base)
{
    int negative, none;
    u64 value = magnitude(text, end, base, &negative, &none);
    return negative ? -value : value;
}
unsigned long strtoul(const char *text, char **end, int base) { return (unsigned long)strtoull(text, end, base); }
long long strtoll(const char *text, char **end, int base)
{
    int negative, none;
    u64 value = magnitude(text, end, base, &negative, &none), most = (u64)__LONG_LONG_MAX__ + (u64)negative;
    if (value > most) { value = most; errno = 34; }
    return (long long)(negative ? -value : value);
}
long strtol(const char *text, char **end, int base) { return (long)strtoll(text, end, base); }
int atoi(const char *text) { return (int)strtol(text, 0, 10); }
long atol(const char *text) { return strtol(text, 0, 10); }

void qsort(void *at, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    byte *a = at;
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && compare(a + (j - 1) * size, a + j * size) > 0; j--)
            for (size_t k = 0; k < size; k++) {
                byte swap = a[j * size + k];
                a[j * size + k] = a[(j - 1) * size + k];
                a[(j - 1) * size + k] = swap;
            }
}
void *bsearch(const void *key, const void *at, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const byte *found = (const byte *)at + middle * size;
        int order = compare(key, found);
        if (order == 0) return (void *)found;
        if (order < 0) high = middle; else low = middle + 1;
    }
    return 0;
}

unsigned short htons(unsigned short v) { return __builtin_bswap16(v); }
unsigned short ntohs(unsigned short v) { return __builtin_bswap16(v); }
unsigned htonl(unsigned v) { return __builtin_bswap32(v); }
unsigned ntohl(unsigned v) { return __builtin_bswap32(v); }

#pragma clang attribute pop

/* Printing: into a string; what goes to a file is counted only. */
static size_t put(char *to, size_t n, size_t at, char c) { if (at < n) to[at] = c; return at + 1; }
static size_t put_text(char *to, size_t n, size_t at, const char *text, size_t length, int width, int left, char fill)
{
    for (int i = (int)length; !left && i < width; i++) at = put(to, n, at, fill);
    for (size_t i = 0; i < length; i++) at = put(to, n, at, text[i]);
    for (int i = (int)length; left && i < width; i++) at = put(to, n, at, ' ');
    return at;
}
static size_t digits(char *to, u64 value, unsigned base, int upper)
{
    char back[24];
    size_t n = 0;
    do { back[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[value % base]; value /= base; } while (value);
    for (size_t i = 0; i < n; i++) to[i] = back[n - 1 - i];
    return n;
}
static size_t put_real(char *to, size_t n, size_t at, double x, int precision, int width, int left, char fill)
{
    char text[64];
    size_t length = 0;
    double power = 1.0;
    if (precision < 0) precision = 6;
    if (precision > 15) precision = 15;
    if (x < 0) { text[length++] = '-'; x = -x; }
    for (int i = 0; i < precision; i++) power *= 10.0;
    if (!(x < 1e18)) {
        text[length++] = x != x ? 'n' : 'i';
    } else {
        u64 whole = (u64)x, part = (u64)((x - (double)whole) * power + 0.5);
        if (part >= (u64)power) { whole++; part = 0; }
        length += digits(text + length, whole, 10, 0);
        if (precision) {
            char back[24];
            size_t m = digits(back, part, 10, 0);
            text[length++] = '.';
            for (int i = (int)m; i < precision; i++) text[length++] = '0';
            for (size_t i = 0; i < m; i++) text[length++] = back[i];
        }
    }
    return put_text(to, n, at, text, length, width, left, fill);
}
#pragma clang attribute push(__attribute__((weak)), apply_to = function) /* a text may have its own */
int vsnprintf(char *to, size_t n, const char *format, __builtin_va_list list)
{
    size_t at = 0;
    TRAP_IF_NULL(format);
    if (n) TRAP_IF_NULL(to);
    for (; *format; format++) {
        if (*format != '%') { at = put(to, n, at, *format); continue; }
        int left = 0, width = 0, precision = -1, longs = 0, alternate = 0;
        char fill = ' ', sign = 0, text[32];
        size_t length = 0;
        for (format++; *format && strchr("-0+ #", *format); format++) {
            if (*format == '-') left = 1;
            else if (*format == '0') fill = '0';
            else if (*format == '#') alternate = 1;
            else sign = *format;
        }
        if (*format == '*') { width = __builtin_va_arg(list, int); format++; }
        else while (isdigit(*format)) width = width * 10 + (*format++ - '0');
        if (width < 0) { left = 1; width = -width; }
        if (*format == '.') {
            precision = 0;
            if (*++format == '*') { precision = __builtin_va_arg(list, int); format++; }
            else while (isdigit(*format)) precision = precision * 10 + (*format++ - '0');
        }
        for (; *format && strchr("lhzjt", *format); format++) if (*format != 'h') longs = 1;
        if (left) fill = ' ';
        switch (*format) {
        case 'd': case 'i': {
            long long value = longs ? __builtin_va_arg(list, long long) : __builtin_va_arg(list, int);
            if (value < 0) text[length++] = '-'; else if (sign) text[length++] = sign;
            length += digits(text + length, value < 0 ? -(u64)value : (u64)value, 10, 0);
            break;
        }
        case 'u': case 'x': case 'X': case 'o': case 'p': {
            int wide = longs || *format == 'p';
            u64 value = wide ? __builtin_va_arg(list, u64) : __builtin_va_arg(list, unsigned);
            if ((alternate && value && (*format | 32) == 'x') || *format == 'p') { text[length++] = '0'; text[length++] = 'x'; }
            length += digits(text + length, value, *format == 'u' ? 10 : *format == 'o' ? 8 : 16, *format == 'X');
            break;
        }
        case 'c': text[length++] = (char)__builtin_va_arg(list, int); break;
        case 's': {
            const char *s = __builtin_va_arg(list, const char *);
            at = put_text(to, n, at, s, precision < 0 ? strlen(s) : strnlen(s, (size_t)precision), width, left, ' ');
            continue;
        }
        case 'f': case 'F': case 'e': case 'g':
            at = put_real(to, n, at, __builtin_va_arg(list, double), precision, width, left, fill);
            continue;
        case '%': text[length++] = '%'; break;
        default: __builtin_trap();
        }
        if (fill == '0' && length && (text[0] == '-' || text[0] == '+')) {
            at = put(to, n, at, text[0]);
            at = put_text(to, n, at, text + 1, length - 1, width - 1, 0, fill);
        } else {
            at = put_text(to, n, at, text, length, width, left, fill);
        }
    }
    if (n) to[at < n ? at : n - 1] = 0;
    return (int)at;
}
#define FORMATTED(to, n) \
    __builtin_va_list list; __builtin_va_start(list, format); \
    int length = vsnprintf(to, n, format, list); __builtin_va_end(list)
int snprintf(char *to, size_t n, const char *format, ...) { FORMATTED(to, n); return length; }
int sprintf(char *to, const char *format, ...) { FORMATTED(to, (size_t)1 << 30); return length; }
int snprintf_within(char *to, size_t n, size_t room, const char *format, ...)
{
    TRAP_UNLESS(n <= room);
    FORMATTED(to, n);
    return length;
}
int sprintf_within(char *to, size_t room, const char *format, ...)
{
    FORMATTED(to, room == (size_t)-1 ? (size_t)1 << 30 : room);
    TRAP_UNLESS((size_t)length < room);
    return length;
}
int printf(const char *format, ...) { FORMATTED(0, 0); return length; }
int fprintf(void *to, const char *format, ...) { (void)to; FORMATTED(0, 0); return length; }
int puts(const char *text) { return (int)strlen(text) + 1; }
int fputs(const char *text, void *to) { (void)to; return (int)strlen(text); }
int putchar(int c) { return c; }
int fflush(void *to) { (void)to; return 0; }
void perror(const char *text) { (void)text; }
__attribute__((weak)) void *stdin, *stdout, *stderr;

/* Numbers with a point: to some 1e-12, which is closer than the tolerance they are compared with. */
#define BOTH(name) float name##f(float x) { return (float)name(x); }
#define BOTH2(name) float name##f(float a, float b) { return (float)name(a, b); }
double sqrt(double x) { return __builtin_sqrt(x); }
double fabs(double x) { return __builtin_fabs(x); }
double floor(double x) { return __builtin_floor(x); }
double ceil(double x) { return __builtin_ceil(x); }
double trunc(double x) { return __builtin_trunc(x); }
double round(double x) { double t = trunc(x); return fabs(x - t) >= 0.5 ? t + (x < 0 ? -1.0 : 1.0) : t; }
long lround(double x) { return (long)round(x); }
long lroundf(float x) { return (long)round(x); }
long long llround(double x) { return (long long)round(x); }
double fmin(double a, double b) { return a != a ? b : b < a ? b : a; }
double fmax(double a, double b) { return a != a ? b : b > a ? b : a; }
double fmod(double a, double b)
{
    double x = fabs(a), y = fabs(b);
    if (!(y > 0) || !(x < __builtin_inf())) return __builtin_nan("");
    while (x >= y) {
        double step = y;
        while (x - step >= step) step *= 2;
        x -= step;
    }
    return a < 0 ? -x : x;
}
#define LN2 0.69314718055994530942
#define PI 3.14159265358979323846
double exp(double x)
{
    if (x != x) return x;
    if (x > 709.78) return __builtin_inf();
    if (x < -745.2) return 0;
    double n = floor(x / LN2 + 0.5), r = x - n * LN2, term = 1, sum = 1;
    for (int i = 1; i < 20; i++) { term *= r / i; sum += term; }
    for (; n > 0; n--) sum *= 2;
    for (; n < 0; n++) sum /= 2;
    return sum;
}
double log(double x)
{
    if (x != x || x < 0) return __builtin_nan("");
    if (x == 0) return -__builtin_inf();
    if (x == __builtin_inf()) return x;
    double n = 0;
    while (x > 1.5) { x /= 2; n++; }
    while (x < 0.75) { x *= 2; n--; }
    double z = (x - 1) / (x + 1), power = z, sum = 0;
    for (int i = 1; i < 40; i += 2) { sum += power / i; power *= z * z; }
    return 2 * sum + n * LN2;
}
double modf(double x, double *whole) { TRAP_IF_NULL(whole); *whole = trunc(x); return x - *whole; }
double pow(double a, double b)
{
    if (b == 0 || a == 1) return 1;
    if (b == trunc(b) && fabs(b) < 1024) {
        double power = a, value = 1;
        for (unsigned n = (unsigned)fabs(b); n; n >>= 1, power *= power) if (n & 1) value *= power;
        return b < 0 ? 1 / value : value;
    }
    return a == 0 ? (b > 0 ? 0 : __builtin_inf()) : exp(b * log(a));
}
double sin(double x)
{
    double r = fmod(x, 2 * PI), term, sum;
    if (r > PI) r -= 2 * PI;
    if (r < -PI) r += 2 * PI;
    term = sum = r;
    for (int i = 1; i < 16; i++) { term *= -r * r / (2.0 * i * (2.0 * i + 1)); sum += term; }
    return sum;
}
double cos(double x) { return sin(fmod(x, 2 * PI) + PI / 2); }
double tan(double x) { return sin(x) / cos(x); }
double atan(double x)
{
    if (x < 0) return -atan(-x);
    if (x > 1) return PI / 2 - atan(1 / x);
    if (x > 0.4) return PI / 4 + atan((x - 1) / (x + 1));
    double power = x, sum = 0;
    for (int i = 0; i < 30; i++) { sum += (i & 1 ? -power : power) / (2 * i + 1); power *= x * x; }
    return sum;
}
double atan2(double y, double x)
{
    if (x > 0) return atan(y / x);
    if (x < 0) return y < 0 ? atan(y / x) - PI : atan(y / x) + PI;
    return y > 0 ? PI / 2 : y < 0 ? -PI / 2 : 0;
}
double strtod(const char *text, char **end)
{
    const char *t = text;
    double value = 0, scale = 1;
    int negative, none = 1, power = 0;
    TRAP_IF_NULL(text);
    while (isspace(*t)) t++;
    negative = *t == '-';
    if (*t == '-' || *t == '+') t++;
    for (; isdigit(*t); t++, none = 0) value = value * 10 + (*t - '0');
    if (*t == '.') for (t++; isdigit(*t); t++, none = 0) value += (*t - '0') * (scale /= 10);
    if (!none && (*t | 32) == 'e' && (isdigit(t[1]) || ((t[1] == '-' || t[1] == '+') && isdigit(t[2])))) {
        int less = t[1] == '-';
        for (t += isdigit(t[1]) ? 1 : 2; isdigit(*t); t++) if (power < 1000) power = power * 10 + (*t - '0');
        value *= pow(10, less ? -power : power);
    }
    if (end) *end = (char *)(none ? text : t);
    return negative ? -value : value;
}
double atof(const char *text) { return strtod(text, 0); }
double hypot(double a, double b) { return sqrt(a * a + b * b); }
BOTH(sqrt) BOTH(fabs) BOTH(floor) BOTH(ceil) BOTH(round) BOTH(exp) BOTH(log) BOTH(sin) BOTH(cos) BOTH(tan)
BOTH2(fmin) BOTH2(fmax) BOTH2(fmod) BOTH2(pow) BOTH2(atan2) BOTH2(hypot)

#pragma clang attribute pop

/* What the compiler calls for numbers of 128 bits, in which it checks the products of 64. */
typedef __int128 i128;
typedef unsigned __int128 u128;
typedef union { u128 all; struct { u64 low, high; } part; } halves;
i128 __multi3(i128 a, i128 b)
{
    halves x = { .all = (u128)a }, y = { .all = (u128)b }, r;
    u64 al = (unsigned)x.part.low, ah = x.part.low >> 32, bl = (unsigned)y.part.low, bh = y.part.low >> 32;
    u64 low = al * bl, middle = ah * bl + (low >> 32), other = al * bh + (unsigned)middle;
    r.part.low = (other << 32) | (unsigned)low;
    r.part.high = ah * bh + (middle >> 32) + (other >> 32) + x.part.high * y.part.low + x.part.low * y.part.high;
    return (i128)r.all;
}
static halves shifted(halves x, int by) /* to the left by so many, to the right where that is negative */
{
    for (; by > 0; by--) { x.part.high = x.part.high << 1 | x.part.low >> 63; x.part.low <<= 1; }
    for (; by < 0; by++) { x.part.low = x.part.low >> 1 | x.part.high << 63; x.part.high >>= 1; }
    return x;
}
i128 __ashlti3(i128 a, int by) { halves x = { .all = (u128)a }; return (i128)shifted(x, by).all; }
i128 __lshrti3(i128 a, int by) { halves x = { .all = (u128)a }; return (i128)shifted(x, -by).all; }
i128 __ashrti3(i128 a, int by)
{
    halves x = { .all = (u128)a };
    for (; by > 0; by--) {
        x.part.low = x.part.low >> 1 | x.part.high << 63;
        x.part.high = (u64)((long long)x.part.high >> 1);
    }
    return (i128)x.all;
}
static halves divided(halves a, halves b, halves *rest)
{
    halves quotient = { .all = 0 }, r = { .all = 0 };
    TRAP_UNLESS(b.part.low || b.part.high);
    for (int i = 127; i >= 0; i--) {
        r = shifted(r, 1);
        r.part.low |= (i > 63 ? a.part.high >> (i - 64) : a.part.low >> i) & 1;
        if (r.all >= b.all) {
            r.all -= b.all;
            if (i > 63) quotient.part.high |= 1ULL << (i - 64); else quotient.part.low |= 1ULL << i;
        }
    }
    *rest = r;
    return quotient;
}
u128 __udivti3(u128 a, u128 b) { halves x = { .all = a }, y = { .all = b }, r; return divided(x, y, &r).all; }
u128 __umodti3(u128 a, u128 b) { halves x = { .all = a }, y = { .all = b }, r; divided(x, y, &r); return r.all; }
i128 __divti3(i128 a, i128 b)
{
    u128 q = __udivti3(a < 0 ? -(u128)a : (u128)a, b < 0 ? -(u128)b : (u128)b);
    return (i128)((a < 0) != (b < 0) ? -q : q);
}
i128 __modti3(i128 a, i128 b)
{
    u128 r = __umodti3(a < 0 ? -(u128)a : (u128)a, b < 0 ? -(u128)b : (u128)b);
    return (i128)(a < 0 ? -r : r);
}
