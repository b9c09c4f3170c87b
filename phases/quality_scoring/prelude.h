/* What code out of its project may use without declaring it.
 *
 * Read by the scorer, not as a whole by the compiler: a text gets the lines whose names it uses and does not declare
 * itself. Replace the file by `syntax.prelude` in the configuration.
 *
 *   #include <header.h>  // names that the header brings: it is included where one of them is used
 *   any declaration or macro on its own: given where its name is used
 */

/* The C library */
#include <stdint.h>    // int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t intptr_t uintptr_t intmax_t uintmax_t int_fast8_t int_fast16_t int_fast32_t uint_fast8_t uint_fast16_t uint_fast32_t uint_least8_t uint_least16_t uint_least32_t INT8_MAX INT16_MAX INT32_MAX INT64_MAX INT8_MIN INT16_MIN INT32_MIN INT64_MIN UINT8_MAX UINT16_MAX UINT32_MAX UINT64_MAX SIZE_MAX UINT8_C UINT16_C UINT32_C UINT64_C INT32_C INT64_C
#include <stdbool.h>   // bool true false
#include <stddef.h>    // size_t ptrdiff_t NULL offsetof wchar_t
#include <string.h>    // memcpy memset memcmp memmove memchr strcpy strncpy strcmp strncmp strlen strnlen strcat strncat strchr strrchr strstr strtok strerror strdup
#include <stdio.h>     // printf fprintf sprintf snprintf vprintf vfprintf vsnprintf puts putchar fputs fopen fclose fread fwrite fgets fflush perror sscanf FILE stdout stderr stdin EOF
#include <stdlib.h>    // malloc calloc realloc free abort exit atoi atol strtol strtoul strtoull strtod abs labs qsort rand srand getenv EXIT_SUCCESS EXIT_FAILURE
#include <inttypes.h>  // PRIu8 PRIu16 PRIu32 PRIu64 PRId8 PRId16 PRId32 PRId64 PRIx8 PRIx16 PRIx32 PRIx64 PRIX32 PRIX64
#include <limits.h>    // INT_MAX INT_MIN UINT_MAX LONG_MAX LONG_MIN ULONG_MAX CHAR_BIT SHRT_MAX USHRT_MAX LLONG_MAX ULLONG_MAX
#include <errno.h>     // errno EINVAL ENOMEM EBUSY EAGAIN ENODEV ENOENT EIO ETIMEDOUT ENOSPC EPERM EEXIST EOPNOTSUPP ENOTSUP EFAULT ERANGE ENOBUFS EPROTO EOVERFLOW EINTR EMSGSIZE EALREADY ENXIO ENOSYS
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
#include <linux/types.h> // __u8 __u16 __u32 __u64 __s8 __s16 __s32 __s64 __be16 __be32 __be64 __le16 __le32 __le64

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
