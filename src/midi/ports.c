/* ports: identifies the port, a set of 16 channels, on which a track plays.
 *
 * A track specifies its port by a number (meta event 21h), a device name (09h, RP-019) or
 * both; number and name together identify a port. Ports are numbered in the order of
 * their first use; port 0 has number 0 and no name, and tracks that specify no port play
 * there. The first device name of a file is treated as no name, because most files that
 * name a device do so in every track except the first.
 */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

void ports_reset(struct ports *ports)
{
    for (uint32_t port = 0; port < ports->count; port++)
        if (ports->keys[port] && ports->keys[port]->touched)
            memset(ports->keys[port], 0, sizeof *ports->keys[port]);
    ports->ids[0] = (struct port_id){0, 0};
    ports->count = 1;
    ports->device_count = 0;
}

void ports_free(struct ports *ports)
{
    for (int port = 0; port < PORTS_MAX; port++)
        free(ports->keys[port]);
}

uint8_t ports_find(struct ports *ports, struct port_id id)
{
    for (uint32_t port = 0; port < ports->count; port++)
        if (ports->ids[port].number == id.number && ports->ids[port].device == id.device)
            return (uint8_t)port;
    if (ports->count == PORTS_MAX)
        return PORTS_MAX - 1;
    ports->ids[ports->count] = id;
    return (uint8_t)ports->count++;
}

uint32_t ports_find_device(struct ports *ports, const uint8_t *name, size_t length)
{
    if (length == 0)
        return 0;
    uint64_t hash = hash64(name, length);
    for (uint32_t device = 0; device < ports->device_count; device++)
        if (ports->devices[device] == hash)
            return device;
    if (ports->device_count == PORTS_MAX)
        return PORTS_MAX - 1;
    ports->devices[ports->device_count] = hash;
    return ports->device_count++;
}

struct keys *ports_keys(struct ports *ports, uint8_t port)
{
    if (!ports->keys[port])
        ports->keys[port] = calloc(1, sizeof *ports->keys[port]);
    return ports->keys[port];
}
