/* SPDX-License-Identifier: BSD-2-Clause */
/* Allocates memory, maps it, lends it to the greeter, takes it back, and looks at it. */
#include "console.h"
#include "pmserver.h"

#define GREETER_CHANNEL 1
#define GREETER_PEER 2
#define WINDOW 0x10000000

static bool all_is_well = true;

static void step(const char *what, struct pm_result result)
{
    all_is_well = all_is_well && result.error == PM_OK;
    console_puts(what);
    console_puts(pm_error_string(result.error));
    console_puts("\n");
}

void init(void)
{
    pm_container_t box = { 0 }, weak = { 0 };
    pm_share_t share = { 0 };
    struct pm_terms terms = { GREETER_PEER, PM_RIGHT_READ | PM_RIGHT_WRITE, 0 };

    step("make a container: ", pm_container_create(PM_ACCOUNT_OWN, &box));
    step("allocate four frames: ", pm_allocate(box, 0, 4, 0));
    step("map them: ", pm_map(box, 0, WINDOW, 4, PM_MAP_READ | PM_MAP_WRITE, 0));
    step("lend them: ", pm_share(box, 0, 4, terms, &share, &weak));
    microkit_mr_set(0, weak.raw);
    microkit_ppcall(GREETER_CHANNEL, microkit_msginfo_new(0, 1));
    step("take them back: ", pm_unshare_until_done(share));
    /* From here on the greeter cannot change what is there. */
    console_puts((const char *)WINDOW);
    step("free all: ", pm_container_destroy_until_done(box));
    console_puts(all_is_well ? "PASS\n" : "FAIL\n");
}

void notified(microkit_channel channel) { (void)channel; }
