/* What code may use undeclared in the sandbox, besides what prelude.h declares; a line each, as there.
 *
 * Where the compiler can tell how large the object is that is written to, writing beyond it traps (`..._within`).
 * What is not here (files, sockets, clocks, threads) is nowhere in the sandbox: calling it traps.
 */
typedef __SIZE_TYPE__ size_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
void *memcpy_within(void *to, const void *from, size_t n, size_t room, size_t there);
void *memmove_within(void *to, const void *from, size_t n, size_t room, size_t there);
void *memset_within(void *at, int value, size_t n, size_t room);
char *strcpy_within(char *to, const char *from, size_t room);
char *strncpy_within(char *to, const char *from, size_t n, size_t room);
char *strcat_within(char *to, const char *from, size_t room);
char *strncat_within(char *to, const char *from, size_t n, size_t room);
int sprintf_within(char *to, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
int snprintf_within(char *to, size_t n, size_t room, const char *format, ...) __attribute__((format(printf, 4, 5)));
#define memcpy(to, from, n) memcpy_within(to, from, n, __builtin_object_size(to, 0), __builtin_object_size(from, 0))
#define memmove(to, from, n) memmove_within(to, from, n, __builtin_object_size(to, 0), __builtin_object_size(from, 0))
#define memset(at, value, n) memset_within(at, value, n, __builtin_object_size(at, 0))
#define strcpy(to, from) strcpy_within(to, from, __builtin_object_size(to, 1))
#define strncpy(to, from, n) strncpy_within(to, from, n, __builtin_object_size(to, 1))
#define strcat(to, from) strcat_within(to, from, __builtin_object_size(to, 1))
#define strncat(to, from, n) strncat_within(to, from, n, __builtin_object_size(to, 1))
#define sprintf(to, ...) sprintf_within(to, __builtin_object_size(to, 1), __VA_ARGS__)
#define snprintf(to, n, ...) snprintf_within(to, n, __builtin_object_size(to, 1), __VA_ARGS__)
size_t strspn(const char *text, const char *of);
size_t strcspn(const char *text, const char *of);
int strcasecmp(const char *a, const char *b);
void qsort(void *at, size_t count, size_t size, int (*compare)(const void *, const void *));
void *bsearch(const void *key, const void *at, size_t count, size_t size, int (*compare)(const void *, const void *));
unsigned long long strtoull(const char *restrict text, char **restrict end, int base);
long long strtoll(const char *restrict text, char **restrict end, int base);
double strtod(const char *restrict text, char **restrict end);
double atof(const char *text);
double modf(double x, double *whole);
long labs(long value);
long long llabs(long long value);
int isdigit(int c);
int isalpha(int c);
int isalnum(int c);
int isspace(int c);
int isxdigit(int c);
int isupper(int c);
int islower(int c);
int isprint(int c);
int toupper(int c);
int tolower(int c);
uint16_t htons(uint16_t value);
uint16_t ntohs(uint16_t value);
uint32_t htonl(uint32_t value);
uint32_t ntohl(uint32_t value);
#define htobe16(x) __builtin_bswap16(x)
#define htobe32(x) __builtin_bswap32(x)
#define htobe64(x) __builtin_bswap64(x)
#define be16toh(x) __builtin_bswap16(x)
#define be32toh(x) __builtin_bswap32(x)
#define be64toh(x) __builtin_bswap64(x)
#define assert(truth) ((truth) ? (void)0 : __builtin_trap())
#define static_assert _Static_assert
double sqrt(double x);
float sqrtf(float x);
double fabs(double x);
float fabsf(float x);
double floor(double x);
float floorf(float x);
double ceil(double x);
float ceilf(float x);
double trunc(double x);
double round(double x);
float roundf(float x);
long lround(double x);
long lroundf(float x);
long long llround(double x);
double fmin(double a, double b);
float fminf(float a, float b);
double fmax(double a, double b);
float fmaxf(float a, float b);
double fmod(double a, double b);
float fmodf(float a, float b);
double exp(double x);
double log(double x);
double pow(double a, double b);
double sin(double x);
double cos(double x);
double tan(double x);
double atan(double x);
double atan2(double y, double x);
float sinf(float x);
float cosf(float x);
float tanf(float x);
float atan2f(float y, float x);
float expf(float x);
float logf(float x);
float powf(float a, float b);
double hypot(double a, double b);
float hypotf(float a, float b);
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define M_PI 3.14159265358979323846
#define M_PI_2 1.57079632679489661923
#define FLT_EPSILON __FLT_EPSILON__
#define DBL_EPSILON __DBL_EPSILON__
#define FLT_MAX __FLT_MAX__
#define DBL_MAX __DBL_MAX__
#define LONG_MIN (-__LONG_MAX__ - 1L)
#define LLONG_MAX __LONG_LONG_MAX__
#define LLONG_MIN (-__LONG_LONG_MAX__ - 1LL)
#define ULLONG_MAX (__LONG_LONG_MAX__ * 2ULL + 1ULL)
#define SHRT_MAX __SHRT_MAX__
#define SHRT_MIN (-__SHRT_MAX__ - 1)
#define USHRT_MAX (__SHRT_MAX__ * 2 + 1)
#define SCHAR_MAX __SCHAR_MAX__
#define UCHAR_MAX (__SCHAR_MAX__ * 2 + 1)
#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1
#define EOF (-1)
#define PRIu8 "u"
#define PRIu16 "u"
#define PRIu32 "u"
#define PRIu64 "lu"
#define PRId8 "d"
#define PRId16 "d"
#define PRId32 "d"
#define PRId64 "ld"
#define PRIx8 "x"
#define PRIx16 "x"
#define PRIx32 "x"
#define PRIx64 "lx"
typedef __UINT8_TYPE__ uint_least8_t;
typedef __UINT16_TYPE__ uint_least16_t;
typedef __UINT32_TYPE__ uint_least32_t;
typedef __UINT8_TYPE__ uint_fast8_t;
typedef __UINT32_TYPE__ uint_fast16_t;
typedef __UINT32_TYPE__ uint_fast32_t;
typedef __INT32_TYPE__ int_fast16_t;
typedef __INT32_TYPE__ int_fast32_t;
typedef long ssize_t;
typedef long time_t;
typedef int clockid_t;
typedef __builtin_va_list va_list;
#define va_start(list, ...) __builtin_va_start(list, __VA_ARGS__)
#define va_end(list) __builtin_va_end(list)
#define va_arg(list, type) __builtin_va_arg(list, type)
#define va_copy(to, from) __builtin_va_copy(to, from)
typedef struct timespec { long tv_sec; long tv_nsec; } timespec;
typedef struct timeval { long tv_sec; long tv_usec; } timeval;
