/*
 * The witness: proves from inside a guest that its memory, disk and connections came through a move whole.
 *
 *   port 7000  commands, one per line, each answered by one line of JSON:
 *                stat               what it is doing, and its counters
 *                dirty RATE AREA [PATTERN]
 *                                   rewrite AREA MiB of memory at RATE MiB/s (0: rest), page after page by PATTERN:
 *                                   circle (in turn; the default), random (all over the area), or hot (9 writes of 10
 *                                   in the first tenth of the area, the others in the rest, both at random)
 *                disk PER_SECOND    append that many blocks per second (0: rest)
 *                check              compare every page and every block with what was written
 *   port 7001  the TCP counter: each line received is answered by the next number
 *
 * A page holds its generation and a pattern made from page number and generation; the generations are kept a
 * second time elsewhere, and their sum a third time, so that a page that was lost, torn or old shows.
 * A disk block holds its number and a pattern; blocks are written with O_DIRECT and flushed, and read back so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, SLOTS_MOST = 4096, CHUNK = 1 << 20, TICK_MS = 20 };
enum { HOT_WRITES_PERCENT = 90, HOT_AREA_PERCENT = 10 };
enum pattern { CIRCLE, RANDOM, HOT, PATTERNS };
static const char *const pattern_names[PATTERNS] = { "circle", "random", "hot" };

static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t memory_work = PTHREAD_COND_INITIALIZER;
static uint64_t *area;
static uint32_t *generations;
static size_t pages;
static long rate_mib, area_mib;
static enum pattern pattern;
static uint64_t page_writes;

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disk_work = PTHREAD_COND_INITIALIZER;
static int disk = -1;
static uint64_t disk_slots, blocks_written, disk_errors;
static int disk_errno;
static long blocks_per_second = 5;

static uint64_t counter;
static char boot_id[64];

static uint64_t seed_of(uint64_t number, uint64_t generation)
{
	uint64_t x = number * 0x9e3779b97f4a7c15ull ^ generation * 0xc2b2ae3d27d4eb4full;
	return x ^ x >> 29;
}

static void fill(uint64_t *page, uint64_t number, uint64_t generation)
{
	uint64_t seed = seed_of(number, generation);
	page[0] = generation;
	for (int i = 1; i < WORDS; i++)
		page[i] = seed + (uint64_t)i * 0x100000001b3ull;
}

static int whole(const uint64_t *page, uint64_t number, uint64_t generation)
{
	uint64_t seed = seed_of(number, generation), wrong = page[0] ^ generation;
	for (int i = 1; i < WORDS; i++)
		wrong |= page[i] ^ (seed + (uint64_t)i * 0x100000001b3ull);
	return wrong == 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

/* Under memory_lock. Returns 0, or -1 where that much memory is not to be had (then nothing has changed). */
static int set_area(long mib)
{
	size_t wanted = (size_t)mib * (1 << 20) / PAGE;
	if (wanted == pages)
		return 0;
	uint64_t *fresh = NULL;
	uint32_t *fresh_generations = NULL;
	if (wanted) {
		fresh = mmap(NULL, wanted * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		fresh_generations = calloc(wanted, sizeof *fresh_generations);
		if (fresh == MAP_FAILED || !fresh_generations)
			return -1;
	}
	if (pages)
		munmap(area, pages * PAGE);
	free(generations);
	area = fresh;
	generations = fresh_generations;
	pages = wanted;
	area_mib = mib;
	page_writes = 0;
	for (size_t p = 0; p < pages; p++)
		fill(area + p * WORDS, p, 0);
	return 0;
}

/* PATTERNS where none has that name. */
static enum pattern pattern_named(const char *name)
{
	enum pattern found = 0;
	while (found < PATTERNS && strcmp(name, pattern_names[found]) != 0)
		found++;
	return found;
}

/* A number from 0 to limit - 1, each as likely; by xorshift64* (Vigna 2016), for one thread. */
static size_t draw(size_t limit)
{
	static uint64_t state = 0x9e3779b97f4a7c15ull;
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545f4914f6cdd1dull >> 32) * limit >> 32;
}

/* Under memory_lock. */
static size_t page_after(size_t last)
{
	size_t hot = pages * HOT_AREA_PERCENT / 100;
	switch (pattern) {
	case RANDOM:
		return draw(pages);
	case HOT:
		return draw(100) < HOT_WRITES_PERCENT ? draw(hot) : hot + draw(pages - hot);
	default:
		return last + 1 < pages ? last + 1 : 0;
	}
}

static void *dirty_memory(void *unused)
{
	size_t next = 0;
	double owed = 0;
	uint64_t last = now_ns();
	for (;;) {
		pthread_mutex_lock(&memory_lock);
		while (rate_mib == 0 || pages == 0) {
			pthread_cond_wait(&memory_work, &memory_lock);
			last = now_ns();
		}
		uint64_t now = now_ns();
		double seconds = (now - last) / 1e9;
		last = now;
		/* A guest that stood still does not make up for it afterwards. */
		owed += (seconds > 0.2 ? 0.2 : seconds) * rate_mib * ((1 << 20) / PAGE);
		for (; owed >= 1; owed--) {
			next = page_after(next);
			fill(area + next * WORDS, next, ++generations[next]);
			page_writes++;
		}
		pthread_mutex_unlock(&memory_lock);
		sleep_ms(TICK_MS);
	}
	return unused;
}

static void *append_blocks(void *unused)
{
	uint64_t *block = aligned_alloc(PAGE, PAGE);
	for (;;) {
		pthread_mutex_lock(&disk_lock);
		while (blocks_per_second == 0)
			pthread_cond_wait(&disk_work, &disk_lock);
		fill(block, ~blocks_written, blocks_written);
		if (pwrite(disk, block, PAGE, (off_t)(blocks_written % disk_slots) * PAGE) == PAGE && fdatasync(disk) == 0) {
			blocks_written++;
		} else {
			disk_errors++;
			disk_errno = errno;
		}
		long pause = 1000 / blocks_per_second;
		pthread_mutex_unlock(&disk_lock);
		sleep_ms(pause > 0 ? pause : 1);
	}
	return unused;
}

static void check(uint64_t *pages_bad, uint64_t *blocks, uint64_t *blocks_bad)
{
	uint64_t sum = 0;
	*pages_bad = *blocks_bad = *blocks = 0;
	pthread_mutex_lock(&memory_lock);
	for (size_t p = 0; p < pages; p++) {
		*pages_bad += !whole(area + p * WORDS, p, generations[p]);
		sum += generations[p];
	}
	if (sum != page_writes)
		++*pages_bad;
	pthread_mutex_unlock(&memory_lock);

	if (disk < 0)
		return;
	char *chunk = aligned_alloc(PAGE, CHUNK);
	pthread_mutex_lock(&disk_lock);
	uint64_t used = blocks_written < disk_slots ? blocks_written : disk_slots;
	for (uint64_t slot = 0; slot < used;) {
		ssize_t got = pread(disk, chunk, CHUNK, (off_t)slot * PAGE);
		uint64_t here = CHUNK / PAGE < used - slot ? CHUNK / PAGE : used - slot;
		for (uint64_t i = 0; i < here; i++, slot++) {
			uint64_t laps = (blocks_written - 1 - slot) / disk_slots;
			uint64_t number = laps * disk_slots + slot;
			*blocks_bad += (ssize_t)((i + 1) * PAGE) > got
				|| !whole((uint64_t *)(chunk + i * PAGE), ~number, number);
		}
	}
	*blocks = used;
	pthread_mutex_unlock(&disk_lock);
	free(chunk);
}

static void status(FILE *out)
{
	fprintf(out,
		"{\"boot_id\":\"%s\",\"uptime_s\":%.3f,\"rate_mib\":%ld,\"area_mib\":%ld,\"pattern\":\"%s\",\"page_writes\":%llu,"
		"\"blocks_per_second\":%ld,\"blocks_written\":%llu,\"disk_errors\":%llu,\"disk_errno\":%d,\"disk\":%s,"
		"\"counter\":%llu",
		boot_id, now_ns() / 1e9, rate_mib, area_mib, pattern_names[pattern], (unsigned long long)page_writes,
		blocks_per_second, (unsigned long long)blocks_written, (unsigned long long)disk_errors, disk_errno,
		disk >= 0 ? "true" : "false", (unsigned long long)counter);
}

static void answer(FILE *out, const char *line)
{
	long a, b;
	char name[16] = "circle";
	const char *error = NULL;
	if (sscanf(line, "dirty %ld %ld %15s", &a, &b, name) >= 2) {
		enum pattern named = pattern_named(name);
		pthread_mutex_lock(&memory_lock);
		if (named == PATTERNS) {
			error = "patterns: circle, random, hot";
		} else if (a < 0 || b < 0 || set_area(b) < 0) {
			error = "that much memory is not to be had";
		} else {
			rate_mib = a;
			pattern = named;
		}
		pthread_cond_signal(&memory_work);
		pthread_mutex_unlock(&memory_lock);
	} else if (sscanf(line, "disk %ld", &a) == 1) {
		pthread_mutex_lock(&disk_lock);
		if (a < 0 || a > 1000)
			error = "0 to 1000 blocks per second";
		else
			blocks_per_second = a;
		pthread_cond_signal(&disk_work);
		pthread_mutex_unlock(&disk_lock);
	} else if (strncmp(line, "check", 5) == 0) {
		uint64_t pages_bad, blocks, blocks_bad;
		check(&pages_bad, &blocks, &blocks_bad);
		status(out);
		fprintf(out, ",\"pages\":%zu,\"pages_bad\":%llu,\"blocks\":%llu,\"blocks_bad\":%llu}\n", pages,
			(unsigned long long)pages_bad, (unsigned long long)blocks, (unsigned long long)blocks_bad);
		fflush(out);
		return;
	} else if (strncmp(line, "stat", 4) != 0) {
		error = "commands: stat, dirty RATE AREA [PATTERN], disk PER_SECOND, check";
	}
	status(out);
	if (error)
		fprintf(out, ",\"error\":\"%s\"", error);
	fputs("}\n", out);
	fflush(out);
}

static void *serve_commands(void *socket)
{
	FILE *in = fdopen((int)(intptr_t)socket, "r"), *out = fdopen(dup((int)(intptr_t)socket), "w");
	char line[128];
	while (in && out && fgets(line, sizeof line, in))
		answer(out, line);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
	return NULL;
}

static void *serve_counter(void *socket)
{
	int s = (int)(intptr_t)socket;
	char got[256], text[32];
	ssize_t n;
	while ((n = read(s, got, sizeof got)) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (got[i] == '\n') {
				int length = snprintf(text, sizeof text, "%llu\n",
					(unsigned long long)__atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED));
				if (write(s, text, length) != length)
					goto gone;
			}
gone:
	close(s);
	return NULL;
}

static void start(void *(*work)(void *), void *with)
{
	pthread_attr_t small;
	pthread_t thread;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 << 10);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &small, work, with) != 0)
		puts("hotfoot: no more threads");
}

struct port {
	int number;
	void *(*serve)(void *);
};

static void *listen_on(void *with)
{
	struct port *port = with;
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port->number) };
	int one = 1, door = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(door, (struct sockaddr *)&here, sizeof here) || listen(door, 16))
		perror("hotfoot: listen");
	for (;;) {
		int s = accept(door, NULL, NULL);
		if (s < 0) {
			sleep_ms(100);
			continue;
		}
		setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
		start(port->serve, (void *)(intptr_t)s);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct port commands = { 7000, serve_commands }, counting = { 7001, serve_counter };
	signal(SIGPIPE, SIG_IGN);
	FILE *id = fopen("/proc/sys/kernel/random/boot_id", "r");
	if (!id || fscanf(id, "%63s", boot_id) != 1)
		strcpy(boot_id, "unknown");
	if (argc > 3) {
		set_area(atol(argv[2]));
		rate_mib = atol(argv[1]);
		pattern = pattern_named(argv[3]);
		if (pattern == PATTERNS) {
			printf("hotfoot: no pattern %s\n", argv[3]);
			pattern = CIRCLE;
		}
	}
	disk = open("/dev/vda", O_RDWR | O_DIRECT);
	uint64_t bytes = 0;
	if (disk >= 0 && ioctl(disk, BLKGETSIZE64, &bytes) == 0 && bytes >= PAGE) {
		disk_slots = bytes / PAGE < SLOTS_MOST ? bytes / PAGE : SLOTS_MOST;
		start(append_blocks, NULL);
	} else {
		puts("hotfoot: no disk");
		disk = -1;
	}
	start(dirty_memory, NULL);
	start(listen_on, &counting);
	puts("hotfoot: witness ready");
	fflush(stdout);
	listen_on(&commands);
}
