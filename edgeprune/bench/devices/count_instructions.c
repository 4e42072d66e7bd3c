/* Counts the instructions that a program under qemu-user executes, and tells the program.
 *
 * A qemu plugin (https://www.qemu.org/docs/master/devel/tcg-plugins.html). Every thread has a
 * count of its own. A guest that seeks to ASK in a file finds the count of its thread at the
 * start of that file, 8 bytes in this machine's order: seeking there is harmless without the
 * plugin, and needs no exception to be handled, which would be counted too.
 *
 * The few declarations of qemu-plugin.h that it needs are written out, because distributions do
 * not package the header. They have been the same in all versions of the interface; API, its
 * number, is given to the compiler, because each qemu accepts few.
 */
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define ASK 0x1c0de000000
#define LSEEK 62 /* on aarch64 */
#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0 /* the callback reads none */

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info_t;

typedef void (*translated_cb)(plugin_id, struct qemu_plugin_tb *);
typedef void (*executed_cb)(unsigned int cpu, void *data);
typedef void (*syscall_cb)(plugin_id, unsigned int cpu, int64_t number, uint64_t, uint64_t,
                           uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated_cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed_cb, int flags,
                                          void *data);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, syscall_cb);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

EXPORT int qemu_plugin_version = API;

static __thread uint64_t executed;

static void on_executed(unsigned int cpu, void *instructions)
{
    (void)cpu;
    executed += (uintptr_t)instructions;
}

/* A block is translated once: what it will add when executed is known then. */
static void on_translated(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    void *instructions = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_executed, NO_REGISTERS, instructions);
}

/* The guest's file descriptors are those of this process. */
static void on_syscall(plugin_id id, unsigned int cpu, int64_t number, uint64_t fd,
                       uint64_t offset, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                       uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == LSEEK && offset == ASK) {
        uint64_t now = executed;
        ssize_t written = pwrite((int)fd, &now, sizeof now, 0);
        (void)written; /* the guest finds nothing, and says so */
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return 0;
}
