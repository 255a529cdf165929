/* abi: prints the version of Landlock that the kernel has, 0 for none.
   connect NAME: connects to an abstract Unix socket as soon as there is one; prints the result. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc == 2) {
        long abi = syscall(444, 0, 0, 1);
        printf("%ld\n", abi < 0 ? 0 : abi);
        return 0;
    }
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path + 1, argv[2]);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argv[2]);
    int own = socket(AF_UNIX, SOCK_STREAM, 0), result = -1;
    for (int i = 0; i < 1000; i++) {
        result = connect(own, (struct sockaddr *)&to, length);
        if (result == 0 || errno != ECONNREFUSED) break;
        usleep(10000);
    }
    printf("%s\n", result < 0 ? strerrorname_np(errno) : "ok");
    return 0;
}
