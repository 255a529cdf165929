/* Tries from inside what must not work, a line each: "name result". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <unistd.h>

static void say(const char *name, long result) {
    printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "ok");
}

static int reach(const char *address, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to);
}

int main(void) {
    struct rlimit limit;
    say("connect-outside", reach("192.0.2.1", 80));
    say("connect-loopback", reach("127.0.0.1", 1));
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&own, sizeof own);
    listen(listener, 1);
    getsockname(listener, (struct sockaddr *)&own, &length);
    say("loopback-server", reach("127.0.0.1", ntohs(own.sin_port)));
    say("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
    say("packet", socket(AF_PACKET, SOCK_RAW, 0));
    say("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    say("unshare-user", unshare(CLONE_NEWUSER));
    say("unshare-mount", unshare(CLONE_NEWNS));
    say("clone-user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    say("clone3", syscall(SYS_clone3, 0, 0));
    say("mount", mount("none", "/tmp", "tmpfs", 0, 0));
    say("umount", umount("/build"));
    say("fsopen", syscall(430, "tmpfs", 0));
    say("mount-setattr", syscall(442, 0, 0, 0, 0, 0));
    say("open-tree-attr", syscall(467, 0, 0, 0, 0, 0));
    say("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    say("bpf", syscall(SYS_bpf, 0, 0, 0));
    say("io-uring", syscall(425, 1, 0));
    say("userfaultfd", syscall(SYS_userfaultfd, 0));
    say("handle", syscall(SYS_name_to_handle_at, 0, 0, 0, 0, 0));
    say("chroot", chroot("/tmp"));
    say("tiocsti", ioctl(0, 0x5412, "x"));
    say("tiocsti-high-bits", syscall(SYS_ioctl, 0, 0x100005412ul, "x"));
    say("setuid-root", setuid(0));
    say("signal-init", kill(1, SIGKILL));
    say("proc-1-exe", open("/proc/1/exe", O_RDONLY));
    say("proc-1-mem", open("/proc/1/mem", O_RDWR));
    say("proc-1-environ", open("/proc/1/environ", O_RDONLY));
    say("proc-1-fd", open("/proc/1/fd/0", O_RDONLY));
    say("proc-1-root", open("/proc/1/root", O_RDONLY));
    say("proc-sysrq", open("/proc/sysrq-trigger", O_WRONLY));
    say("proc-sys", open("/proc/sys/kernel/hostname", O_WRONLY));
    say("root-write", open("/new", O_CREAT | O_WRONLY, 0600));
    say("etc-write", open("/etc/passwd", O_WRONLY));
    say("usr-write", open("/usr/new", O_CREAT | O_WRONLY, 0600));
    say("null-write", write(open("/dev/null", O_WRONLY | O_TRUNC), "x", 1));
#ifdef __x86_64__
    say("x32-mount", syscall(0x40000000 + SYS_mount, "none", "/tmp", "tmpfs", 0, 0));
    say("x32-getpid", syscall(0x40000000 + SYS_getpid));
    fflush(stdout);
    if (fork() == 0) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory"); /* getpid, 32-bit */
        _exit(0);
    }
    int status;
    wait(&status);
    printf("i386 %s\n", WIFSIGNALED(status) ? "killed" : "ok");
#endif
    printf("no-new-privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    printf("seccomp %d\n", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    printf("persona %x\n", personality(0xffffffff));
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("files %lu %lu\n", (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    getrlimit(RLIMIT_STACK, &limit);
    printf("stack %lu %lu\n", (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    getrlimit(RLIMIT_CORE, &limit);
    printf("core %lu %lu\n", (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    printf("pid %d session %d\n", getpid() > 1, getsid(0));
    return 0;
}
