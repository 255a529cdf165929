/* Ways out, each tried once: `ways NAME[:ARGUMENT]…` prints a line for each, "NAME ok" or "NAME ERRNO". What works is undone. The same
   program runs in the sandbox and outside; escape.toml says what it must print where. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <net/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <mqueue.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

typedef const char *text;

/* Network: ARGUMENT is ADDRESS/PORT. */

static long inet(text where, int type) {
    char address[64];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    int port;
    if (sscanf(where, "%63[^/]/%d", address, &port) != 2) exit(3);
    v4.sin_port = v6.sin6_port = htons(port);
    int six = inet_pton(AF_INET, address, &v4.sin_addr) != 1;
    if (six && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) exit(3);
    int fd = socket(six ? AF_INET6 : AF_INET, type, 0);
    struct timeval patience = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (type == SOCK_DGRAM && (ntohl(v4.sin_addr.s_addr) >> 28) == 14) {
        struct in_addr own = {.s_addr = htonl(INADDR_LOOPBACK)};
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &own, sizeof own);
    }
    if (six ? connect(fd, (void *)&v6, sizeof v6) : connect(fd, (void *)&v4, sizeof v4)) return -1;
    if (send(fd, "out", 3, MSG_NOSIGNAL) < 0) return -1;
    /* The answer that nobody is there comes to the second. */
    usleep(20000);
    return send(fd, "out", 3, MSG_NOSIGNAL);
}

static long tcp(text where) { return inet(where, SOCK_STREAM); }
static long udp(text where) { return inet(where, SOCK_DGRAM); }

static long resolve(text name) {
    struct addrinfo *found;
    errno = ENOENT;
    return getaddrinfo(name, "80", NULL, &found) ? -1 : 0;
}

/* A path, or @NAME. */
static long unix_socket(text name) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, name, sizeof to.sun_path - 1);
    if (*name == '@') to.sun_path[0] = 0;
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name != '@');
    return connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, length);
}

static long unix_listen(text name) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path, name, sizeof at.sun_path - 1);
    return bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&at, sizeof at);
}

/* FAMILY/TYPE/PROTOCOL */
static long family(text numbers) {
    int family, type, protocol;
    if (sscanf(numbers, "%d/%d/%d", &family, &type, &protocol) != 3) exit(3);
    return socket(family, type, protocol);
}

static long pair(text numbers) {
    int family, type, protocol, fds[2];
    if (sscanf(numbers, "%d/%d/%d", &family, &type, &protocol) != 3) exit(3);
    return socketpair(family, type, protocol, fds);
}

/* Says of the loopback what is so already. */
static long netlink(text unused) {
    (void)unused;
    struct { struct nlmsghdr head; struct ifinfomsg info; } ask = {
        {sizeof ask, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 0, 0}, {.ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP}};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    if (send(fd, &ask, sizeof ask, 0) < 0) return -1;
    struct { struct nlmsghdr head; struct nlmsgerr error; char rest[64]; } answer;
    if (recv(fd, &answer, sizeof answer, 0) < 0) return -1;
    errno = -answer.error.error;
    return answer.error.error ? -1 : 0;
}

/* Other processes. */

static long signal_to(text pid) { return kill(atoi(pid), 0); }

static long trace(text pid) {
    if (ptrace(PTRACE_SEIZE, atoi(pid), 0, 0)) return -1;
    ptrace(PTRACE_INTERRUPT, atoi(pid), 0, 0);
    waitpid(atoi(pid), NULL, __WALL);
    return ptrace(PTRACE_DETACH, atoi(pid), 0, 0);
}

/* PID/ADDRESS: of what this machine maps there, the kernel's answer alone matters. */
static long read_memory(text pid) {
    FILE *maps;
    char name[64];
    unsigned long address = 4096;
    snprintf(name, sizeof name, "/proc/%d/maps", atoi(pid));
    if ((maps = fopen(name, "r")) && fscanf(maps, "%lx", &address) != 1) address = 4096;
    char byte;
    struct iovec own = {&byte, 1}, theirs = {(void *)address, 1};
    return process_vm_readv(atoi(pid), &own, 1, &theirs, 1, 0);
}

static long pidfd(text pid) { return syscall(SYS_pidfd_open, atoi(pid), 0); }

static long take_descriptor(text pid) {
    int fd = syscall(SYS_pidfd_open, atoi(pid), 0);
    return fd < 0 ? -1 : syscall(SYS_pidfd_getfd, fd, 0, 0);
}

/* Mounts and namespaces. */

static long do_mount(text at) { return mount("none", at, "tmpfs", 0, NULL) ? -1 : umount(at); }
static long do_umount(text at) { return umount2(at, MNT_DETACH); }
static long do_chroot(text at) { return chroot(at); }
static long do_pivot(text at) { return syscall(SYS_pivot_root, at, at); }

static long do_open_tree(text at) {
    return syscall(SYS_open_tree, AT_FDCWD, at, 1 /* OPEN_TREE_CLONE */);
}

static long do_move_mount(text at) {
    int fd = syscall(SYS_open_tree, AT_FDCWD, "/", 1);
    return syscall(SYS_move_mount, fd < 0 ? AT_FDCWD : fd, fd < 0 ? "/proc" : "", AT_FDCWD, at, fd < 0 ? 0 : 4);
}

static long do_fsopen(text type) { return syscall(SYS_fsopen, type, 0); }

static long do_mount_setattr(text at) {
    unsigned long attr[4] = {0, 0, 0, 0};
    return syscall(SYS_mount_setattr, AT_FDCWD, at, 0, attr, sizeof attr);
}

static long do_setns(text file) { return setns(open(file, O_RDONLY), 0); }

/* The child does it, so that the next way is tried from the same place. */
static long do_unshare(text flag) {
    pid_t child = fork();
    if (!child) {
        if (unshare(strtol(flag, NULL, 16))) _exit(errno);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    errno = WEXITSTATUS(status);
    return errno ? -1 : 0;
}

static long do_clone(text flag) {
    pid_t child = syscall(SYS_clone, strtol(flag, NULL, 16) | SIGCHLD, 0, 0, 0, 0);
    if (!child) _exit(0);
    if (child > 0) waitpid(child, NULL, 0);
    return child;
}

static long do_clone3(text flag) {
    unsigned long args[11] = {strtol(flag, NULL, 16), 0, 0, 0, SIGCHLD};
    pid_t child = syscall(SYS_clone3, args, sizeof args);
    if (!child) _exit(0);
    if (child > 0) waitpid(child, NULL, 0);
    return child;
}

static long hostname(text name) { return sethostname(name, strlen(name)); }

/* The kernel's further doors. */

static long add_key_(text name) {
    long key = syscall(SYS_add_key, "user", name, "x", 1, -3 /* KEY_SPEC_SESSION_KEYRING */);
    return key < 0 ? -1 : syscall(SYS_keyctl, 3 /* KEYCTL_REVOKE */, key);
}

static long keyctl_(text unused) {
    (void)unused;
    return syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -4 /* KEY_SPEC_USER_KEYRING */, 0);
}

static long perf(text unused) {
    (void)unused;
    unsigned int attr[32] = {1 /* SOFTWARE */, sizeof attr};
    return syscall(SYS_perf_event_open, attr, 0, -1, -1, 0);
}

static long bpf(text unused) {
    (void)unused;
    unsigned int attr[32] = {2 /* ARRAY */, 4, 4, 1};
    return syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, attr, sizeof attr);
}

static long userfault(text unused) {
    (void)unused;
    return syscall(SYS_userfaultfd, 0);
}

static long uring(text unused) {
    (void)unused;
    unsigned int params[30] = {0};
    return syscall(SYS_io_uring_setup, 1, params);
}

static struct { struct file_handle head; char rest[128]; } handle;

static long handle_name(text path) {
    int mount;
    handle.head.handle_bytes = sizeof handle.rest;
    return name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, 0);
}

static long handle_open(text path) {
    if (handle_name(path)) handle.head.handle_bytes = 8;
    return open_by_handle_at(open("/", O_RDONLY | O_DIRECTORY), &handle.head, O_RDONLY);
}

static long fanotify(text unused) {
    (void)unused;
    return syscall(SYS_fanotify_init, 0x200 /* FAN_REPORT_FID */, 0);
}

static long adjtime_(text unused) {
    (void)unused;
    struct timex asks = {.modes = 0};
    return adjtimex(&asks);
}

static long alarm_(text unused) {
    (void)unused;
    return timerfd_create(CLOCK_REALTIME_ALARM, 0);
}

static long realtime(text unused) {
    (void)unused;
    struct sched_param first = {.sched_priority = 1}, none = {0};
    return sched_setscheduler(0, SCHED_FIFO, &first) ? -1 : sched_setscheduler(0, SCHED_OTHER, &none);
}

static long niceness(text unused) {
    (void)unused;
    return setpriority(PRIO_PROCESS, 0, -20) ? -1 : setpriority(PRIO_PROCESS, 0, 0);
}

/* With arguments that the kernel refuses for another reason, once it lets somebody ask at all. */
static long reboot_(text unused) { (void)unused; return syscall(SYS_reboot, 0, 0, 0, 0); }
static long init_module_(text unused) { (void)unused; return syscall(SYS_init_module, 0, 0, 0); }
static long delete_module_(text unused) { (void)unused; return syscall(SYS_delete_module, "no-such-module", O_NONBLOCK); }
static long acct_(text unused) { (void)unused; return syscall(SYS_acct, "/no/such/file"); }
static long swapon_(text unused) { (void)unused; return syscall(SYS_swapon, "/no/such/file", 0); }
static long settime_(text unused) { (void)unused; return syscall(SYS_clock_settime, CLOCK_REALTIME, NULL); }
static long kexec_(text unused) { (void)unused; return syscall(SYS_kexec_load, 0, 17, NULL, ~0UL); }
static long syslog_(text unused) { (void)unused; return syscall(SYS_syslog, 10 /* SIZE_BUFFER */, 0, 0); }

/* Terminals. */
static long typing(text path) {
    int fd = open(path, O_RDWR);
    return fd < 0 ? -1 : ioctl(fd, TIOCSTI, "");
}

/* Privilege. */
static long user(text id) { return setuid(atoi(id)); }
static long groups(text id) { gid_t group = atoi(id); return setgroups(1, &group); }

static long owner(text path) {
    close(open(path, O_CREAT | O_WRONLY, 0600));
    return chown(path, 0, 0);
}

static long device(text path) { return mknod(path, S_IFBLK | 0600, makedev(8, 0)) ? -1 : unlink(path); }

static long capability(text path) {
    unsigned int caps[5] = {0x02000000, 1u << 21};
    close(open(path, O_CREAT | O_WRONLY, 0700));
    return setxattr(path, "security.capability", caps, sizeof caps, 0);
}

static long immutable(text path) {
    int flags = 0, fd = open(path, O_CREAT | O_RDONLY, 0600);
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags)) return -1;
    flags |= FS_IMMUTABLE_FL;
    if (ioctl(fd, FS_IOC_SETFLAGS, &flags)) return -1;
    flags &= ~FS_IMMUTABLE_FL;
    return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

/* Files: opened, never read or written. */
static long open_read(text path) { return open(path, O_RDONLY | O_NONBLOCK); }
static long open_write(text path) { return open(path, O_WRONLY | O_NONBLOCK); }
static long hard_link(text path) { return link(path, "linked"); }

static long touched(text path) {
    struct timespec times[2] = {{1, 0}, {1, 0}};
    return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static long watch(text path) { return inotify_add_watch(inotify_init(), path, IN_ALL_EVENTS); }

/* Shared memory, semaphores, messages. */
static long shm(text key) { return shmget(atoi(key), 0, 0); }
static long sem(text key) { return semget(atoi(key), 0, 0); }
static long msg(text key) { return msgget(atoi(key), 0); }
static long queue(text name) { return mq_open(name, O_RDONLY | O_NONBLOCK); }

static long host_make(text key) {
    char name[64];
    snprintf(name, sizeof name, "/escape-%s", key);
    umask(0);
    if (shmget(atoi(key), 1, IPC_CREAT | 0666) < 0 || semget(atoi(key), 1, IPC_CREAT | 0666) < 0) return -1;
    if (msgget(atoi(key), IPC_CREAT | 0666) < 0 || shm_open(name, O_CREAT | O_RDWR, 0666) < 0) return -1;
    return mq_open(name, O_CREAT | O_RDWR, 0666, NULL);
}

static long host_remove(text key) {
    char name[64];
    snprintf(name, sizeof name, "/escape-%s", key);
    shmctl(shmget(atoi(key), 0, 0), IPC_RMID, NULL);
    semctl(semget(atoi(key), 0, 0), 0, IPC_RMID);
    msgctl(msgget(atoi(key), 0), IPC_RMID, NULL);
    shm_unlink(name);
    return mq_unlink(name);
}

/* Exhaustion. */

static long forks(text number) {
    int wanted = atoi(number), made = 0, why = 0;
    static pid_t children[100000];
    for (; made < wanted; made++) {
        children[made] = fork();
        if (!children[made]) { pause(); _exit(0); }
        if (children[made] < 0) { why = errno; break; }
    }
    for (int at = 0; at < made; at++) kill(children[at], SIGKILL);
    for (int at = 0; at < made; at++) waitpid(children[at], NULL, 0);
    errno = why;
    return why ? -1 : 0;
}

/* They stay, and so the step ends with all of them there. */
static long forks_left(text number) {
    for (int at = atoi(number); at > 0; at--) {
        pid_t child = fork();
        if (!child) { pause(); _exit(0); }
        if (child < 0) return -1;
    }
    return 0;
}

/* BYTES/FILE */
static long fill(text what) {
    long left;
    char path[256];
    static char block[1 << 16];
    if (sscanf(what, "%ld/%255s", &left, path) != 2) exit(3);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    if (fd < 0) return -1;
    while (left > 0) {
        long done = write(fd, block, left < (long)sizeof block ? left : (long)sizeof block);
        if (done < 0) return -1;
        left -= done;
    }
    return 0;
}

/* NUMBER/DIRECTORY */
static long many(text what) {
    int number;
    char dir[256], name[300];
    if (sscanf(what, "%d/%255s", &number, dir) != 2) exit(3);
    while (number-- > 0) {
        snprintf(name, sizeof name, "%s/%d", dir, number);
        if (mknod(name, S_IFREG | 0600, 0)) return -1;
    }
    return 0;
}

static long deep(text number) {
    int back = open(".", O_RDONLY);
    for (int at = atoi(number); at > 0; at--)
        if (mkdir("deeper-than-any-path-may-be", 0700) || chdir("deeper-than-any-path-may-be")) return -1;
    return fchdir(back);
}

static long eat(text megabytes) {
    long size = atol(megabytes) << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -1;
    memory[size - 1] = 1;
    return 0;
}

/* Staying. SECONDS/FILE: a daemon, of another session and deaf to signals, that writes the file later. */
static long daemonise(text what) {
    int seconds;
    char path[256];
    if (sscanf(what, "%d/%255s", &seconds, path) != 2) exit(3);
    pid_t first = fork();
    if (first) return waitpid(first, NULL, 0);
    setsid();
    if (fork()) _exit(0);
    for (int number = 1; number < 32; number++) signal(number, SIG_IGN);
    sleep(seconds);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (write(fd, "late\n", 5) != 5) _exit(1);
    _exit(0);
}

static long stopped_daemon(text unused) {
    (void)unused;
    pid_t first = fork();
    if (first) return waitpid(first, NULL, 0);
    setsid();
    if (fork()) _exit(0);
    raise(SIGSTOP);
    pause();
    _exit(0);
}

static long stop(text unused) { (void)unused; return raise(SIGSTOP); }

/* A child of whoever is our parent; it ends at once, and we do not. */
static long sibling(text unused) {
    (void)unused;
    if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) _exit(0);
    usleep(200000);
    return 0;
}

static long crash(text path) {
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    (void)path;
    setrlimit(RLIMIT_CORE, &all);
    pid_t child = fork();
    if (!child) { *(volatile int *)8 = 1; _exit(0); }
    int status;
    waitpid(child, &status, 0);
    errno = 0;
    return WCOREDUMP(status) ? 0 : -1;
}

/* A handler of crashes runs outside, whatever the limit of core files, but for one of a single byte (core(5)). */
static long core_limit(text wanted) {
    struct rlimit limit = {atol(wanted), atol(wanted)};
    setrlimit(RLIMIT_CORE, &limit);
    prlimit(0, RLIMIT_CORE, &limit, NULL);
    prlimit(getppid(), RLIMIT_CORE, &limit, NULL);
    getrlimit(RLIMIT_CORE, &limit);
    errno = EPERM;
    return limit.rlim_cur == (rlim_t)atol(wanted) ? 0 : -1;
}

/* A program that is nowhere in the file system: it says who it is. */
static long memory_program(text unused) {
    (void)unused;
    char buffer[1 << 16];
    int from = open("/proc/self/exe", O_RDONLY), to = memfd_create("nowhere", 0);
    for (long some; (some = read(from, buffer, sizeof buffer)) > 0;)
        if (write(to, buffer, some) != some) return -1;
    fchmod(to, 06755);
    char *argv[] = {"nowhere", "whoami", NULL}, *envp[] = {NULL};
    fflush(stdout);
    pid_t child = fork();
    if (!child) { fexecve(to, argv, envp); _exit(1); }
    int status;
    waitpid(child, &status, 0);
    return status ? -1 : 0;
}

static long whoami(text unused) {
    (void)unused;
    printf("uid %d of %d\n", geteuid(), getuid());
    return 0;
}

static const struct { text name; long (*way)(text); } WAYS[] = {
    {"tcp", tcp}, {"udp", udp}, {"resolve", resolve}, {"unix", unix_socket}, {"unix-listen", unix_listen}, {"family", family},
    {"pair", pair}, {"netlink", netlink}, {"signal", signal_to}, {"trace", trace}, {"read-memory", read_memory}, {"pidfd", pidfd},
    {"take-descriptor", take_descriptor}, {"mount", do_mount}, {"umount", do_umount}, {"chroot", do_chroot}, {"pivot", do_pivot},
    {"open-tree", do_open_tree}, {"move-mount", do_move_mount}, {"fsopen", do_fsopen}, {"mount-setattr", do_mount_setattr},
    {"setns", do_setns}, {"unshare", do_unshare}, {"clone", do_clone}, {"clone3", do_clone3}, {"hostname", hostname},
    {"add-key", add_key_}, {"keyctl", keyctl_}, {"perf", perf}, {"bpf", bpf}, {"userfault", userfault}, {"uring", uring},
    {"handle-name", handle_name}, {"handle-open", handle_open}, {"fanotify", fanotify}, {"adjtime", adjtime_}, {"alarm", alarm_},
    {"realtime", realtime}, {"niceness", niceness}, {"reboot", reboot_}, {"init-module", init_module_},
    {"delete-module", delete_module_}, {"acct", acct_}, {"swapon", swapon_}, {"settime", settime_}, {"kexec", kexec_},
    {"syslog", syslog_}, {"typing", typing}, {"user", user}, {"groups", groups}, {"owner", owner}, {"device", device},
    {"capability", capability}, {"immutable", immutable}, {"read", open_read}, {"write", open_write}, {"hard-link", hard_link},
    {"touched", touched}, {"watch", watch}, {"shm", shm}, {"sem", sem}, {"msg", msg}, {"queue", queue}, {"host-make", host_make},
    {"host-remove", host_remove}, {"forks", forks}, {"forks-left", forks_left}, {"fill", fill}, {"many", many}, {"deep", deep},
    {"eat", eat}, {"daemon", daemonise}, {"stopped-daemon", stopped_daemon}, {"stop", stop}, {"sibling", sibling}, {"crash", crash},
    {"core-limit", core_limit}, {"memory-program", memory_program}, {"whoami", whoami},
};

int main(int argc, char **argv) {
    int bad = argc < 2;
    for (int at = 1; at < argc; at++) {
        char *argument = strchr(argv[at], ':');
        if (argument) *argument++ = 0;
        unsigned long way = 0;
        while (way < sizeof WAYS / sizeof *WAYS && strcmp(WAYS[way].name, argv[at])) way++;
        if (way == sizeof WAYS / sizeof *WAYS) exit(3);
        long result = WAYS[way].way(argument ? argument : "");
        printf("%s %s\n", argv[at], result < 0 ? strerrorname_np(errno) : "ok");
        fflush(stdout);
        bad |= result < 0;
    }
    return bad;
}
