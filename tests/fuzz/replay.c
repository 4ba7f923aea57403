/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files and folders of inputs: the corpus as a test, without libFuzzer. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/compiler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1 << 20) /* bytes */

static unsigned done;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "re");
	AUTO_FREE uint8_t *data = malloc(INPUT_MAX);

	if (!f || !data) {
		(void)fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
		if (f)
			(void)fclose(f);
		return -1;
	}
	size_t n = fread(data, 1, INPUT_MAX, f);
	(void)fclose(f);
	(void)fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(data, n);
	done++;
	return 0;
}

static int run_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);
	int ret = 0;

	if (n < 0) {
		(void)fprintf(stderr, "cannot list %s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char file[1024];

		(void)snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && run_file(file) < 0)
			ret = -1;
		free(names[i]);
	}
	free(names);
	return ret;
}

int main(int argc, char **argv)
{
	int ret = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) < 0) {
			(void)fprintf(stderr, "no such input: %s\n", argv[i]);
			return 1;
		}
		if ((S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i])) < 0)
			ret = 1;
	}
	if (done == 0) {
		(void)fprintf(stderr, "no inputs\n");
		return 1;
	}
	(void)printf("%u inputs\n", done);
	return ret;
}
