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
        const struct sockaddr_in *ipv4 = (const void *)from->ifa_addr;
        memcpy(to->bytes, &ipv4->sin_addr, sizeof ipv4->sin_addr);
        return true;
    }
    const struct sockaddr_in6 *ipv6 = (const void *)from->ifa_addr;
    if (to->family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr))
        return false;
    memcpy(to->bytes, &ipv6->sin6_addr, sizeof ipv6->sin6_addr);
    return true;
}

/* True for 127.0.0.0/8 and ::1. A loopback interface may have other addresses, too. */
static bool is_loopback_address(const struct watchdog_address *address)
{
    static const uint8_t ipv6_loopback[16] = {[15] = 1};
    return address->family == AF_INET
               ? address->bytes[0] == IN_LOOPBACKNET
               : memcmp(address->bytes, ipv6_loopback, sizeof ipv6_loopback) == 0;
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

enum { WORD_SIZE = 256 };

/* The next word of a list separated by commas and blanks; false at its end. */
static bool next_word(const char **list, char *word)
{
    *list += strspn(*list, ", ");
    size_t length = strcspn(*list, ", ");
    snprintf(word, WORD_SIZE, "%.*s", (int)(length < WORD_SIZE ? length : WORD_SIZE - 1),
             *list);
    *list += length;
    return length > 0;
}

static bool same_prefix(const uint8_t *a, const uint8_t *b, int64_t count)
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
    int64_t width = address->family == AF_INET ? 32 : 128, bits = width;
    size_t length = slash ? (size_t)(slash - word) : strlen(word);
    if (length >= sizeof first)
        return false;
    memcpy(first, word, length);
    first[length] = '\0';
    return inet_pton(address->family, first, bytes) == 1 &&
           (!slash || text_to_integer(slash + 1, &bits)) && bits >= 0 && bits <= width &&
           same_prefix(bytes, address->bytes, bits);
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

static bool is_in_list(const char *list, const struct ifaddrs *at)
{
    char word[WORD_SIZE];
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

static enum status check_interface_list(const struct ifaddrs *all, const char *list)
{
    char word[WORD_SIZE], available[1024];
    const char *next = list;
    bool any = false;
    while (next_word(&next, word)) {
        any = true;
        if (any_matches(word, all))
            continue;
        list_interfaces(all, available, sizeof available);
        return status_fail(STATUS_MISUSE,
                           "run.interface = %s: rank 0's host has no such network "
                           "interface, address or subnet (available: %s)",
                           word, available);
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
 * with `loopback_only` only 127.0.0.0/8 and ::1. */
static void add_addresses(const struct ifaddrs *all, const char *list, bool loopback_only,
                          struct watchdog_invitation *invitation)
{
    for (int loopback = 0; loopback <= 1; loopback++)
        for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
            struct watchdog_address address;
            if (!read_address(at, &address) || address.loopback != loopback ||
                (list && !is_in_list(list, at)) ||
                (loopback_only && !is_loopback_address(&address)))
                continue;
            /* keeps two entries for loopback addresses */
            int limit = loopback ? WATCHDOG_MAX_ADDRESSES : WATCHDOG_MAX_ADDRESSES - 2;
            if (invitation->count < limit)
                invitation->addresses[invitation->count++] = address;
        }
}

static void add_mpi_addresses(const struct ifaddrs *all,
                              struct watchdog_invitation *invitation)
{
    const size_t count = sizeof mpi_variables / sizeof *mpi_variables;
    for (size_t i = 0; i < count && invitation->count == 0; i++) {
        const char *list = getenv(mpi_variables[i]);
        if (list && *list && *list != '^')
            add_addresses(all, list, false, invitation);
    }
}

static enum status choose_addresses(const struct ifaddrs *all, const char *interface,
                                    bool multi_host,
                                    struct watchdog_invitation *invitation)
{
    invitation->count = 0;
    if (*interface) {
        enum status status = check_interface_list(all, interface);
        if (status == STATUS_OK)
            add_addresses(all, interface, false, invitation);
        return status;
    }
    if (!multi_host)
        add_addresses(all, NULL, true, invitation);
    else
        add_mpi_addresses(all, invitation);
    if (invitation->count == 0)
        add_addresses(all, NULL, false, invitation);
    return STATUS_OK;
}

/* ---- listening ---- */

static int port_of(int listener)
{
    struct sockaddr_storage local;
    socklen_t size = sizeof local;
    if (getsockname(listener, (struct sockaddr *)&local, &size) != 0)
        return 0;
    return ntohs(local.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&local)->sin6_port
                                             : ((struct sockaddr_in *)&local)->sin_port);
}

/* Returns the socket, or -1. */
static int listen_on(struct watchdog_address *address)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    bool is_ipv6 = address->family == AF_INET6;
    memcpy(&ipv4.sin_addr, address->bytes, sizeof ipv4.sin_addr);
    memcpy(&ipv6.sin6_addr, address->bytes, sizeof ipv6.sin6_addr);
    int listener = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    const struct sockaddr *to = is_ipv6 ? (const void *)&ipv6 : (const void *)&ipv4;
    if (bind(listener, to, is_ipv6 ? sizeof ipv6 : sizeof ipv4) == 0 &&
        listen(listener, SOMAXCONN) == 0 && (address->port = port_of(listener)) > 0)
        return listener;
    int saved_errno = errno;
    close(listener);
    errno = saved_errno;
    return -1;
}

void watchdog_listen(struct watchdog_invitation *invitation,
                     int listeners[WATCHDOG_MAX_ADDRESSES])
{
    int listening = 0, error = EADDRNOTAVAIL;
    for (int i = 0; i < WATCHDOG_MAX_ADDRESSES; i++)
        listeners[i] = -1;
    for (int i = 0; i < invitation->count; i++) {
        int listener = listen_on(&invitation->addresses[i]);
        error = listener < 0 ? errno : error;
        if (listener < 0)
            continue;
        invitation->addresses[listening] = invitation->addresses[i];
        listeners[listening++] = listener;
    }
    invitation->count = listening;
    if (listening == 0 && !*invitation->reason)
        snprintf(invitation->reason, sizeof invitation->reason,
                 "rank 0 can't listen on a TCP port: %s", strerror(error));
}

enum status watchdog_choose_addresses(const char *interface, bool multi_host,
                                      struct watchdog_invitation *invitation)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        snprintf(invitation->reason, sizeof invitation->reason,
                 "rank 0 can't list its network interfaces: %s", strerror(errno));
        return STATUS_OK;
    }
    enum status status = choose_addresses(all, interface, multi_host, invitation);
    freeifaddrs(all);
    return status;
}
