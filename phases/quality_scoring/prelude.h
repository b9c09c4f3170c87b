/* What code out of its project may use without declaring it.
 *
 * Read by the scorer, not as a whole by the compiler: a text gets the lines whose names it uses and does not declare
 * itself. Replace the file by `syntax.prelude` in the configuration.
 *
 *   #include <header.h>  // names that the header brings: it is included where one of them is used
 *   any declaration or macro on its own: given where its name is used
 */

/* The C library. What is used most is declared here: a declaration takes the compiler a tenth of the time of its
   header, and does not bring all the other names of it. */
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __WCHAR_TYPE__ wchar_t;
#define NULL ((void *)0)
#define offsetof(type, member) __builtin_offsetof(type, member)
#define bool _Bool
#define true 1
#define false 0
typedef __INT8_TYPE__ int8_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __INT16_TYPE__ int16_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __INT32_TYPE__ int32_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __INTPTR_TYPE__ intptr_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef __INTMAX_TYPE__ intmax_t;
typedef __UINTMAX_TYPE__ uintmax_t;
#define INT8_MAX __INT8_MAX__
#define INT8_MIN (-__INT8_MAX__ - 1)
#define UINT8_MAX __UINT8_MAX__
#define INT8_C(c) __INT8_C(c)
#define UINT8_C(c) __UINT8_C(c)
#define INT16_MAX __INT16_MAX__
#define INT16_MIN (-__INT16_MAX__ - 1)
#define UINT16_MAX __UINT16_MAX__
#define INT16_C(c) __INT16_C(c)
#define UINT16_C(c) __UINT16_C(c)
#define INT32_MAX __INT32_MAX__
#define INT32_MIN (-__INT32_MAX__ - 1)
#define UINT32_MAX __UINT32_MAX__
#define INT32_C(c) __INT32_C(c)
#define UINT32_C(c) __UINT32_C(c)
#define INT64_MAX __INT64_MAX__
#define INT64_MIN (-__INT64_MAX__ - 1)
#define UINT64_MAX __UINT64_MAX__
#define INT64_C(c) __INT64_C(c)
#define UINT64_C(c) __UINT64_C(c)
#define SIZE_MAX __SIZE_MAX__
#define CHAR_BIT __CHAR_BIT__
#define INT_MAX __INT_MAX__
#define INT_MIN (-__INT_MAX__ - 1)
#define UINT_MAX (__INT_MAX__ * 2U + 1U)
#define LONG_MAX __LONG_MAX__
#define ULONG_MAX (__LONG_MAX__ * 2UL + 1UL)
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *at, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *in, int value, size_t n);
char *strcpy(char *restrict to, const char *restrict from);
char *strncpy(char *restrict to, const char *restrict from, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t n);
char *strcat(char *restrict to, const char *restrict from);
char *strncat(char *restrict to, const char *restrict from, size_t n);
char *strchr(const char *in, int c);
char *strrchr(const char *in, int c);
char *strstr(const char *in, const char *text);
char *strerror(int number);
char *strdup(const char *text);
int printf(const char *restrict format, ...) __attribute__((format(printf, 1, 2)));
int sprintf(char *restrict to, const char *restrict format, ...) __attribute__((format(printf, 2, 3)));
int snprintf(char *restrict to, size_t n, const char *restrict format, ...) __attribute__((format(printf, 3, 4)));
typedef struct _IO_FILE FILE;
extern FILE *stdin;
extern FILE *stdout;
extern FILE *stderr;
int fprintf(FILE *restrict to, const char *restrict format, ...) __attribute__((format(printf, 2, 3)));
int fputs(const char *restrict text, FILE *restrict to);
int fflush(FILE *to);
int fclose(FILE *from);
FILE *fopen(const char *restrict name, const char *restrict how);
char *fgets(char *restrict to, int n, FILE *restrict from);
int puts(const char *text);
int putchar(int c);
void perror(const char *text);
void *malloc(size_t n);
void *calloc(size_t count, size_t n);
void *realloc(void *old, size_t n);
void free(void *at);
void abort(void) __attribute__((noreturn));
void exit(int code) __attribute__((noreturn));
int atoi(const char *text);
long strtol(const char *restrict text, char **restrict end, int base);
unsigned long strtoul(const char *restrict text, char **restrict end, int base);
int abs(int value);
extern int errno;
#define EPERM 1
#define ENOENT 2
#define EINTR 4
#define EIO 5
#define ENXIO 6
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define ENOSPC 28
#define ERANGE 34
#define ENOSYS 38
#define EPROTO 71
#define EOVERFLOW 75
#define EMSGSIZE 90
#define EOPNOTSUPP 95
#define ENOBUFS 105
#define ETIMEDOUT 110
#define EALREADY 114
#define ENOTSUP 95
#include <stdint.h>    // int_fast8_t int_fast16_t int_fast32_t uint_fast8_t uint_fast16_t uint_fast32_t uint_least8_t uint_least16_t uint_least32_t
#include <stdio.h>     // vprintf vfprintf vsnprintf fread fwrite sscanf EOF
#include <stdlib.h>    // atol strtoull strtod labs qsort rand srand getenv EXIT_SUCCESS EXIT_FAILURE
#include <string.h>    // strtok memccpy strspn strcspn strcasecmp
#include <inttypes.h>  // PRIu8 PRIu16 PRIu32 PRIu64 PRId8 PRId16 PRId32 PRId64 PRIx8 PRIx16 PRIx32 PRIx64 PRIX32 PRIX64
#include <limits.h>    // LONG_MIN SHRT_MAX USHRT_MAX LLONG_MAX ULLONG_MAX
#include <assert.h>    // assert static_assert
#include <stdarg.h>    // va_list va_start va_end va_arg va_copy
#include <math.h>      // sqrt fabs floor ceil pow sin cos tan log exp fmod round lround llround isnan fmin fmax
#include <setjmp.h>    // jmp_buf setjmp longjmp sigsetjmp siglongjmp sigjmp_buf
#include <signal.h>    // signal sigaction SIGINT SIGTERM SIGALRM sig_atomic_t
#include <ctype.h>     // isdigit isalpha isalnum isspace isxdigit toupper tolower
#include <stdatomic.h> // atomic_int atomic_uint atomic_bool atomic_flag atomic_load atomic_store atomic_fetch_add atomic_fetch_sub atomic_exchange atomic_uint_fast32_t

/* POSIX and Linux, where TSN and AVB code lives */
#include <time.h>       // timespec itimerspec time_t clockid_t clock_gettime clock_settime clock_nanosleep nanosleep CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_TAI TIMER_ABSTIME tm gmtime localtime strftime
#include <sys/time.h>   // timeval gettimeofday
#include <unistd.h>     // read write close usleep sleep getpid access unlink
#include <fcntl.h>      // open fcntl O_RDONLY O_RDWR O_WRONLY O_NONBLOCK O_CREAT O_CLOEXEC F_SETFL F_GETFL
#include <sys/types.h>  // ssize_t pid_t uid_t gid_t off_t
#include <sys/socket.h> // socket bind sendto recvfrom sendmsg recvmsg setsockopt getsockopt listen accept connect send recv sockaddr sockaddr_storage msghdr cmsghdr socklen_t AF_INET AF_PACKET AF_UNIX PF_PACKET SOCK_RAW SOCK_DGRAM SOCK_STREAM SOL_SOCKET SO_PRIORITY SO_TIMESTAMPING SO_BINDTODEVICE SO_TXTIME SCM_TIMESTAMPING CMSG_DATA CMSG_FIRSTHDR CMSG_NXTHDR CMSG_LEN CMSG_SPACE
#include <sys/ioctl.h>  // ioctl
#include <poll.h>       // poll pollfd POLLIN POLLERR POLLPRI POLLOUT
#include <sys/queue.h>  // LIST_HEAD LIST_ENTRY LIST_INIT LIST_FIRST LIST_NEXT LIST_FOREACH LIST_INSERT_HEAD LIST_REMOVE TAILQ_HEAD TAILQ_ENTRY TAILQ_INIT TAILQ_FIRST TAILQ_NEXT TAILQ_EMPTY TAILQ_FOREACH TAILQ_INSERT_HEAD TAILQ_INSERT_TAIL TAILQ_REMOVE TAILQ_HEAD_INITIALIZER STAILQ_HEAD STAILQ_ENTRY STAILQ_INIT STAILQ_FIRST STAILQ_FOREACH STAILQ_INSERT_TAIL STAILQ_REMOVE_HEAD
#include <pthread.h>    // pthread_t pthread_create pthread_join pthread_exit pthread_mutex_t pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock pthread_cond_t pthread_cond_wait pthread_cond_signal pthread_attr_t PTHREAD_MUTEX_INITIALIZER
#include <sched.h>      // sched_param sched_setscheduler SCHED_FIFO SCHED_RR SCHED_OTHER
#include <arpa/inet.h>  // htons htonl ntohs ntohl inet_ntoa inet_pton inet_ntop
#include <netinet/in.h> // in_addr sockaddr_in in6_addr sockaddr_in6 INADDR_ANY IPPROTO_UDP IPPROTO_TCP
#include <net/if.h>     // ifreq if_nametoindex IFNAMSIZ
#include <net/ethernet.h> // ether_header ether_addr
#include <linux/if_ether.h> // ethhdr ETH_ALEN ETH_HLEN ETH_P_8021Q ETH_P_ALL ETH_P_1588 ETH_P_IP ETH_P_TSN ETH_FRAME_LEN ETH_DATA_LEN
#include <linux/if_packet.h> // sockaddr_ll PACKET_ADD_MEMBERSHIP packet_mreq
#include <linux/net_tstamp.h> // hwtstamp_config sock_txtime SOF_TIMESTAMPING_TX_HARDWARE SOF_TIMESTAMPING_RX_HARDWARE SOF_TIMESTAMPING_RAW_HARDWARE HWTSTAMP_TX_ON HWTSTAMP_FILTER_ALL
#include <linux/ptp_clock.h> // ptp_clock_time ptp_clock_caps ptp_extts_request ptp_perout_request ptp_sys_offset
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u64 __le64;

/* Linux kernel style */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef long long ktime_t;
typedef unsigned int gfp_t;
typedef unsigned long long dma_addr_t;
typedef struct { int counter; } atomic_t;
typedef struct { int lock; } spinlock_t;
typedef int netdev_tx_t;
#define __init
#define __exit
#define __iomem
#define __user
#define __force
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __maybe_unused __attribute__((unused))
#define __must_check
#define __always_inline inline
#define likely(x) (x)
#define unlikely(x) (x)
#define BIT(n) (1UL << (n))
#define BIT_ULL(n) (1ULL << (n))
#define GENMASK(h, l) (((~0UL) << (l)) & (~0UL >> (63 - (h))))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define READ_ONCE(x) (x)
#define container_of(p, type, member) ((type *)(void *)((char *)(p) - __builtin_offsetof(type, member)))
#define WRITE_ONCE(x, v) ((x) = (v))
#define EXPORT_SYMBOL(name) extern int exported_##name
#define EXPORT_SYMBOL_GPL(name) extern int exported_##name
#define MODULE_LICENSE(text) extern int module_licensed
#define MODULE_AUTHOR(text) extern int module_authored
#define MODULE_DESCRIPTION(text) extern int module_described
#define module_init(f) extern int module_begun
#define module_exit(f) extern int module_ended
#define GFP_KERNEL 0u
#define GFP_ATOMIC 1u
#define NSEC_PER_SEC 1000000000L
#define NSEC_PER_USEC 1000L
#define USEC_PER_SEC 1000000L
#define list_for_each(at, head) for (; (at) != (head);)
#define list_for_each_safe(at, next, head) for (; (at) != (head); (at) = (next))
#define list_for_each_entry(at, head, member) for (; (at);)
#define list_for_each_entry_safe(at, next, head, member) for (; (at); (at) = (next))
#define for_each_set_bit(bit, set, size) for ((bit) = 0; (bit) < (size); (bit)++)

/* TSN: opaque, as a user of the stack sees them */
typedef struct tsn_device tsn_device_t;
typedef struct tsn_port tsn_port_t;
typedef struct tsn_stream tsn_stream_t;
typedef struct tsn_stream_id tsn_stream_id_t;
typedef struct tsn_config tsn_config_t;
typedef struct tsn_context tsn_context_t;
typedef struct tsn_frame tsn_frame_t;
typedef struct tsn_gate tsn_gate_t;
typedef struct tsn_schedule tsn_schedule_t;
typedef struct tsn_shaper tsn_shaper_t;
typedef struct gate_control_list gate_control_list_t;
typedef struct gate_control_entry gate_control_entry_t;
typedef struct gcl_entry gcl_entry_t;
typedef struct gcl gcl_t;
typedef struct qbv_config qbv_config_t;
typedef struct qbv_schedule qbv_schedule_t;
typedef struct qav_config qav_config_t;
typedef struct cbs_config cbs_config_t;
typedef struct taprio_config taprio_config_t;
typedef struct vlan_tag vlan_tag_t;
typedef struct ptp_clock ptp_clock_t;
typedef struct ptp_timestamp ptp_timestamp_t;
typedef struct gptp_context gptp_context_t;

/* AVB: opaque as well */
typedef struct avb_device avb_device_t;
typedef struct avb_stream avb_stream_t;
typedef struct avb_talker avb_talker_t;
typedef struct avb_listener avb_listener_t;
typedef struct avb_config avb_config_t;
typedef struct avtp_stream avtp_stream_t;
typedef struct avtp_header avtp_header_t;
typedef struct avtp_packet avtp_packet_t;
typedef struct srp_reservation srp_reservation_t;
typedef struct srp_context srp_context_t;
typedef struct msrp_context msrp_context_t;
typedef struct maap_context maap_context_t;
typedef struct stream_reservation stream_reservation_t;
typedef struct audio_sample audio_sample_t;
typedef struct audio_channel audio_channel_t;
