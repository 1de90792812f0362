/* SPDX-License-Identifier: BSD-2-Clause */
/* A server that writes a greeting into memory that a client lends. It allocates nothing. */
#include "pmserver.h"

#define WINDOW 0x10000000

static const char greeting[] = "a greeting, in memory that was lent\n";

void init(void)
{
}

void notified(microkit_channel channel)
{
    (void)channel;
}

microkit_msginfo protected(microkit_channel client, microkit_msginfo request)
{
    pm_container_t weak = { microkit_mr_get(0) };
    /* The channel is the client's peer number: only its own memory is written to. */
    if (microkit_msginfo_get_count(request) == 1 && pm_container_owner(weak) == client
        && pm_map(weak, 0, WINDOW, 1, PM_MAP_WRITE, 0).error == PM_OK) {
        for (unsigned i = 0; i < sizeof(greeting); i++) {
            ((volatile char *)WINDOW)[i] = greeting[i];
        }
        pm_unmap(WINDOW, 1);
    }
    return microkit_msginfo_new(0, 0);
}
