/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of pmserver and fsserver in C. It prints what its twin in Rust prints (core/src/lib.rs),
 * line by line: each step is the same call there.
 */
#include "console.h"
#include "fsserver.h"

#define WINDOW 0x10300000
#define SECOND_WINDOW 0x10500000

static const char text[] = "written by a client\n";
static const char path[] = "/twin.txt";
static bool all_is_well = true;

static void step(const char *name, struct pm_result result)
{
    console_puts(name);
    console_puts(": ");
    if (result.error == PM_OK) {
        console_puts("done ");
        console_put_number(result.done);
    } else {
        console_puts(pm_error_string(result.error));
        console_puts(" (done ");
        console_put_number(result.done);
        console_puts(", at ");
        console_put_hex(result.at);
        console_puts(")");
    }
    console_puts("\n");
}

static void file_step(const char *name, struct fs_result result, seL4_Word number)
{
    console_puts(name);
    console_puts(": ");
    if (result.error == FS_OK) {
        console_puts("done ");
        console_put_number(number);
    } else {
        console_puts(fs_error_string(result.error));
    }
    console_puts("\n");
}

/* Compares what is mapped with a text. */
static void look(const char *name, uintptr_t at, const char *expected, seL4_Word bytes)
{
    const volatile char *mapped = (const volatile char *)at;
    bool is_same = true;
    for (seL4_Word i = 0; i < bytes; i++) {
        is_same = is_same && mapped[i] == expected[i];
    }
    all_is_well = all_is_well && is_same;
    console_puts(name);
    console_puts(is_same ? ": as written\n" : ": something else\n");
}

static void put(uintptr_t at, const char *from, seL4_Word bytes)
{
    for (seL4_Word i = 0; i < bytes; i++) {
        ((volatile char *)at)[i] = from[i];
    }
}

static void memory(pm_container_t box)
{
    pm_lease_t lease = { 0 };
    struct pm_runs runs = { 0 };
    struct pm_states states = { 0 };

    step("allocate", pm_allocate(box, 0, 16, 0));
    step("allocate again", pm_allocate(box, 15, 2, 0));
    step("map", pm_map(box, 0, WINDOW, 4, PM_MAP_WRITE | PM_MAP_FORCE_WRITE, &runs));
    put(WINDOW, text, sizeof(text) - 1);
    step("copy", pm_copy(box, 0, box, 100, 4, PM_COPY_NEW));
    step("map the copy", pm_map(box, 100, SECOND_WINDOW, 4, PM_MAP_WRITE, &runs));
    console_puts("rights: ");
    console_put_number(pm_runs_rights(&runs));
    console_puts("\n");
    look("the copy", SECOND_WINDOW, text, sizeof(text) - 1);
    put(SECOND_WINDOW, "W", 1);
    look("the original", WINDOW, text, sizeof(text) - 1);
    step("status", pm_status(box, 98, 3, &states));
    for (unsigned i = 0; i < states.count; i++) {
        console_put_number(states.state[i]);
        console_puts(i + 1 < states.count ? " " : "\n");
    }
    step("lock", pm_lock(box, 0, 4, PM_LOCK_EXCLUSIVE, 100000, &lease, 0));
    step("unlock", pm_unlock_until_done(lease));
    step("unlock again", pm_unlock(lease));
    step("pin", pm_pin(box, 0, 1, PM_LOCK_READ, 100000, 0));
    struct pm_pair pairs[] = { { 0, 7 }, { 1, 8 } };
    step("copy a list", pm_copy_list(box, box, pairs, 2, 0));
    step("unmap", pm_unmap_until_done(WINDOW, 300));
    step("unmap the copy", pm_unmap_until_done(SECOND_WINDOW, 4));
    step("allocate many", pm_allocate_until_done(box, 1024, 1000, 0));
    step("free many", pm_deallocate_until_done(box, 1000, 2000, 0));
    step("nobody's", pm_renew((pm_container_t) { 12345 }, 0, 1));
}

static void accounts(void)
{
    pm_account_t account = { 0 };
    pm_container_t box = { 0 };
    struct pm_account_info info = { 0 };

    step("account_split", pm_account_split(PM_ACCOUNT_OWN, 20, 0, &account));
    step("container_create", pm_container_create(account, &box));
    step("allocate too many", pm_allocate(box, 0, 32, PM_ALLOCATE_PARTIAL));
    step("account_info", pm_account_info(account, &info));
    console_puts("limit ");
    console_put_number(info.limit);
    console_puts(", frames ");
    console_put_number(info.frames);
    console_puts("\n");
    step("account_destroy", pm_account_destroy_until_done(account));
    step("it is gone", pm_account_info(account, 0));
}

static void files(pm_container_t box, seL4_Word fsserver)
{
    struct fs_result result = { FS_OK, 0 };
    struct pm_terms terms = {
        fsserver, PM_RIGHT_READ | PM_RIGHT_WRITE | PM_RIGHT_LOCK, PM_LEASE_US_MAX
    };
    struct fs_status status = { 0 };
    pm_share_t share = { 0 };
    pm_container_t weak = { 0 };
    fs_file_t file = { 0 };
    seL4_Word bytes = 0;

    step("map for a path", pm_map(box, 0, WINDOW, 1, PM_MAP_WRITE, 0));
    put(WINDOW, path, sizeof(path) - 1);
    step("share", pm_share(box, 0, 16, terms, &share, &weak));
    FS_UNTIL_DONE(result, fs_unlink(weak, sizeof(path) - 1));
    FS_UNTIL_DONE(result, fs_lookup_short(path, &file));
    file_step("lookup_short", result, 0);
    FS_UNTIL_DONE(result, fs_create(weak, sizeof(path) - 1, &file));
    file_step("create", result, 0);
    put(WINDOW, text, sizeof(text) - 1);
    FS_UNTIL_DONE(result, fs_write(file, weak, 0, 0, sizeof(text) - 1, &bytes));
    file_step("write", result, bytes);
    FS_UNTIL_DONE(result, fs_sync_file(file));
    file_step("sync_file", result, 0);
    result = fs_stat(file, &status);
    file_step("stat", result, status.size);
    FS_UNTIL_DONE(result, fs_read(file, weak, 8, 3, 4096, &bytes));
    file_step("read", result, bytes);
    FS_UNTIL_DONE(result, fs_read(file, weak, 8, 16, 4096, &bytes));
    file_step("read into nothing", result, bytes);
    FS_UNTIL_DONE(result, fs_truncate(file, 4));
    file_step("truncate", result, 0);
    FS_UNTIL_DONE(result, fs_read(file, weak, 5, 0, 1, &bytes));
    file_step("read past the end", result, bytes);
    file_step("close", fs_close(file), 0);
    file_step("close again", fs_close(file), 0);
    put(WINDOW, path, sizeof(path) - 1);
    FS_UNTIL_DONE(result, fs_unlink(weak, sizeof(path) - 1));
    file_step("unlink", result, 0);
    step("unshare", pm_unshare_until_done(share));
    /* From here on nobody else can change it. */
    step("unmap", pm_unmap(WINDOW, 1));
    step("map", pm_map(box, 3, WINDOW, 1, PM_MAP_READ, 0));
    look("the file", WINDOW, text + 8, sizeof(text) - 9);
    step("unmap", pm_unmap(WINDOW, 1));
}

void init(void)
{
    seL4_Word version = 0, peer = 0, fsserver = 0;
    pm_container_t box = { 0 };
    struct pm_account_info before = { 0 }, after = { 0 };

    step("version", pm_version(&version));
    step("whoami", pm_whoami(&peer, 0));
    file_step("version", fs_version(0, &fsserver), version == PM_PROTOCOL_VERSION);
    step("account_info", pm_account_info(PM_ACCOUNT_OWN, &before));
    step("container_create", pm_container_create(PM_ACCOUNT_OWN, &box));
    memory(box);
    accounts();
    files(box, fsserver);
    step("container_destroy", pm_container_destroy_until_done(box));
    step("account_info", pm_account_info(PM_ACCOUNT_OWN, &after));
    bool is_back = before.frames == after.frames && before.tables == after.tables
                && before.slots == after.slots && before.records == after.records;
    all_is_well = all_is_well && is_back;
    console_puts(all_is_well ? "PASS\n" : "FAIL: something is not as it was\n");
}

void notified(microkit_channel channel)
{
    (void)channel;
}
