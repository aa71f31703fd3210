/* Owns the image's health check: asks /readyz of the service in the same container; does not follow redirects or retry.
 *
 * It ends with 0 if the answer is 200, else with 1 and a line that says why. It asks the admin port where there is one, as that
 * answers while the other is busy, on the address that the service listens to. A program of its own since neither Python,
 * whose start costs more than what is asked, nor a shell is needed for it; static, so that it fits any base.
 */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_S = 4 }; /* for all of it; less than HEALTHCHECK's */

static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static const char *variable(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : otherwise;
}

/* VIT_HOST, or this machine's own address of the same kind where that stands for all addresses. */
static const char *address(void) {
    const char *host = variable("VIT_HOST", "127.0.0.1");
    if (strcmp(host, "0.0.0.0") == 0) return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : host;
}

static const char *port(void) {
    const char *admin = variable("VIT_ADMIN_PORT", "0");
    return atoi(admin) != 0 ? admin : variable("VIT_PORT", "8000");
}

/* A service that sends a byte a second, or none, is not ready. */
static void late(int signal) {
    static const char message[] = "no answer in time\n";
    (void)signal;
    if (write(STDOUT_FILENO, message, sizeof message - 1) < 0) _exit(2);
    _exit(1);
}

int main(void) {
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char answer[13] = ""; /* "HTTP/1.1 200" */
    size_t got = 0;
    int s = -1;

    signal(SIGALRM, late);
    alarm(TIMEOUT_S);
    int error = getaddrinfo(address(), port(), &wanted, &found);
    if (error != 0) {
        printf("%s:%s: %s\n", address(), port(), gai_strerror(error));
        return 1;
    }
    s = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (s < 0 || connect(s, found->ai_addr, found->ai_addrlen) != 0
        || send(s, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof request - 1)) {
        printf("%s:%s: %s\n", address(), port(), strerror(errno));
        return 1;
    }
    while (got < sizeof answer - 1) {
        ssize_t n = recv(s, answer + got, sizeof answer - 1 - got, 0);
        if (n <= 0) break;
        got += (size_t)n;
    }
    if (strncmp(answer, "HTTP/1.", 7) == 0 && strcmp(answer + 8, " 200") == 0) return 0;
    printf("%s:%s/readyz answers %s\n", address(), port(), got == sizeof answer - 1 ? answer + 9 : "nothing that is HTTP");
    return 1;
}
