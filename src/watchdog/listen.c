/* watchdog, listening: the addresses of its host on which rank 0 listens.
 *
 * It listens on as few addresses as possible. Each has its own socket, bound to that
 * address, so that no port is open on other networks.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watchdog_internal.h"
#include "base/text.h"

enum { ADDRESS_TEXT = INET6_ADDRSTRLEN };

/* ---- addresses ---- */

/* False if the interface is down, or if the address is link-local or neither IPv4 nor
 * IPv6. */
static bool read_address(const struct ifaddrs *from, struct watchdog_address *to)
{
    if (!from->ifa_addr || !(from->ifa_flags & IFF_UP))
        return false;
    *to = (struct watchdog_address){.family = from->ifa_addr->sa_family,
                                    .loopback = (from->ifa_flags & IFF_LOOPBACK) != 0};
    if (to->family == AF_INET) {
        const struct sockaddr_in *four = (const void *)from->ifa_addr;
        memcpy(to->bytes, &four->sin_addr, sizeof four->sin_addr);
        return true;
    }
    const struct sockaddr_in6 *six = (const void *)from->ifa_addr;
    if (to->family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr))
        return false;
    memcpy(to->bytes, &six->sin6_addr, sizeof six->sin6_addr);
    return true;
}

/* True for 127.0.0.0/8 and ::1. A loopback interface may have other addresses, too. */
static bool stays_on_host(const struct watchdog_address *address)
{
    static const uint8_t six[16] = {[15] = 1};
    return address->family == AF_INET ? address->bytes[0] == IN_LOOPBACKNET
                                      : memcmp(address->bytes, six, sizeof six) == 0;
}

static const char *address_text(const struct watchdog_address *address,
                                char text[ADDRESS_TEXT])
{
    if (!inet_ntop(address->family, address->bytes, text, ADDRESS_TEXT))
        text[0] = '\0';
    return text;
}

const char *watchdog_addresses_text(const struct watchdog_invitation *invitation,
                                    char *text, size_t size)
{
    char one[ADDRESS_TEXT];
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < invitation->count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
                                 address_text(&invitation->addresses[i], one));
    return text;
}

/* ---- selecting ---- */

enum { WORD = 256 };

/* The next word of a list separated by commas and blanks; false at its end. */
static bool next_word(const char **list, char *word)
{
    *list += strspn(*list, ", ");
    size_t length = strcspn(*list, ", ");
    snprintf(word, WORD, "%.*s", (int)(length < WORD ? length : WORD - 1), *list);
    *list += length;
    return length > 0;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1)
            return false;
    return true;
}

/* `word` is an address or a subnet: "10.1.0.7", "10.1.0.0/16", "fd00::/8". */
static bool is_in_subnet(const char *word, const struct watchdog_address *address)
{
    const char *slash = strchr(word, '/');
    char first[ADDRESS_TEXT];
    uint8_t bytes[16];
    int64_t most = address->family == AF_INET ? 32 : 128, bits = most;
    size_t length = slash ? (size_t)(slash - word) : strlen(word);
    if (length >= sizeof first)
        return false;
    memcpy(first, word, length);
    first[length] = '\0';
    return inet_pton(address->family, first, bytes) == 1 &&
           (!slash || text_to_integer(slash + 1, &bits)) && bits >= 0 && bits <= most &&
           same_bits(bytes, address->bytes, bits);
}

/* "eth0" also matches "eth0:1". */
static bool is_named(const char *word, const char *name)
{
    size_t length = strlen(word);
    return strncmp(word, name, length) == 0 &&
           (name[length] == '\0' || name[length] == ':');
}

static bool matches(const char *word, const struct ifaddrs *at)
{
    struct watchdog_address address;
    return read_address(at, &address) &&
           (is_named(word, at->ifa_name) || is_in_subnet(word, &address));
}

static bool any_matches(const char *word, const struct ifaddrs *all)
{
    for (const struct ifaddrs *at = all; at; at = at->ifa_next)
        if (matches(word, at))
            return true;
    return false;
}

static bool is_wanted(const char *list, const struct ifaddrs *at)
{
    char word[WORD];
    while (next_word(&list, word))
        if (matches(word, at))
            return true;
    return false;
}

/* "lo 127.0.0.1, eth0 10.0.0.2" */
static void list_interfaces(const struct ifaddrs *all, char *text, size_t size)
{
    struct watchdog_address address;
    char one[ADDRESS_TEXT];
    size_t used = 0;
    snprintf(text, size, "none");
    for (const struct ifaddrs *at = all; at && used < size; at = at->ifa_next)
        if (read_address(at, &address))
            used +=
                (size_t)snprintf(text + used, size - used, "%s%s %s", used ? ", " : "",
                                 at->ifa_name, address_text(&address, one));
}

static enum status check_words(const struct ifaddrs *all, const char *list)
{
    char word[WORD], there[1024];
    const char *rest = list;
    bool any = false;
    while (next_word(&rest, word)) {
        any = true;
        if (any_matches(word, all))
            continue;
        list_interfaces(all, there, sizeof there);
        return status_fail(STATUS_MISUSE,
                           "run.interface = %s: rank 0's host has no such network "
                           "interface, address or subnet (available: %s)",
                           word, there);
    }
    return any ? STATUS_OK
               : status_fail(STATUS_MISUSE, "run.interface = %s: is empty", list);
}

/* ---- choosing ---- */

/* Environment variables that tell MPI which network to use. Launchers pass them to the
 * ranks. */
static const char *const mpi_variables[] = {
    "OMPI_MCA_btl_tcp_if_include", /* Open MPI */
    "OMPI_MCA_oob_tcp_if_include",
    "PRTE_MCA_prte_if_include", /* Open MPI 5's launcher */
    "PRTE_MCA_oob_tcp_if_include",
    "MPIR_CVAR_NEMESIS_TCP_NETWORK_IFACE", /* MPICH */
    "HYDRA_IFACE",                         /* MPICH's launcher */
};

/* Adds the addresses that match `list` (NULL: all), those of loopback interfaces last;
 * with `stay` only 127.0.0.0/8 and ::1. */
static void choose(const struct ifaddrs *all, const char *list, bool stay,
                   struct watchdog_invitation *invitation)
{
    for (int loopback = 0; loopback <= 1; loopback++)
        for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
            struct watchdog_address address;
            if (!read_address(at, &address) || address.loopback != loopback ||
                (list && !is_wanted(list, at)) || (stay && !stays_on_host(&address)))
                continue;
            /* leaves room for loopback addresses even among many others */
            int most = loopback ? WATCHDOG_ADDRESSES : WATCHDOG_ADDRESSES - 2;
            if (invitation->count < most)
                invitation->addresses[invitation->count++] = address;
        }
}

static void choose_as_mpi(const struct ifaddrs *all,
                          struct watchdog_invitation *invitation)
{
    const size_t count = sizeof mpi_variables / sizeof *mpi_variables;
    for (size_t i = 0; i < count && invitation->count == 0; i++) {
        const char *list = getenv(mpi_variables[i]);
        if (list && *list && *list != '^')
            choose(all, list, false, invitation);
    }
}

static enum status choose_addresses(const struct ifaddrs *all, const char *interface,
                                    bool spread, struct watchdog_invitation *invitation)
{
    invitation->count = 0;
    if (*interface) {
        enum status status = check_words(all, interface);
        if (status == STATUS_OK)
            choose(all, interface, false, invitation);
        return status;
    }
    if (!spread)
        choose(all, NULL, true, invitation);
    else
        choose_as_mpi(all, invitation);
    if (invitation->count == 0)
        choose(all, NULL, false, invitation);
    return STATUS_OK;
}

/* ---- listening ---- */

static int port_of(int listener)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    if (getsockname(listener, (struct sockaddr *)&own, &size) != 0)
        return 0;
    return ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                                           : ((struct sockaddr_in *)&own)->sin_port);
}

/* Returns the socket, or -1. */
static int listen_on(struct watchdog_address *address)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    bool is_six = address->family == AF_INET6;
    memcpy(&four.sin_addr, address->bytes, sizeof four.sin_addr);
    memcpy(&six.sin6_addr, address->bytes, sizeof six.sin6_addr);
    int listener = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    const struct sockaddr *to = is_six ? (const void *)&six : (const void *)&four;
    if (bind(listener, to, is_six ? sizeof six : sizeof four) == 0 &&
        listen(listener, SOMAXCONN) == 0 && (address->port = port_of(listener)) > 0)
        return listener;
    int reason = errno;
    close(listener);
    errno = reason;
    return -1;
}

void watchdog_listen(struct watchdog_invitation *invitation,
                     int listeners[WATCHDOG_ADDRESSES])
{
    int listening = 0, reason = EADDRNOTAVAIL;
    for (int i = 0; i < WATCHDOG_ADDRESSES; i++)
        listeners[i] = -1;
    for (int i = 0; i < invitation->count; i++) {
        int listener = listen_on(&invitation->addresses[i]);
        reason = listener < 0 ? errno : reason;
        if (listener < 0)
            continue;
        invitation->addresses[listening] = invitation->addresses[i];
        listeners[listening++] = listener;
    }
    invitation->count = listening;
    if (listening == 0 && !*invitation->reason)
        snprintf(invitation->reason, sizeof invitation->reason,
                 "rank 0 can't listen on a TCP port: %s", strerror(reason));
}

enum status watchdog_choose_addresses(const char *interface, bool spread,
                                      struct watchdog_invitation *invitation)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        snprintf(invitation->reason, sizeof invitation->reason,
                 "rank 0 can't list its network interfaces: %s", strerror(errno));
        return STATUS_OK;
    }
    enum status status = choose_addresses(all, interface, spread, invitation);
    freeifaddrs(all);
    return status;
}
