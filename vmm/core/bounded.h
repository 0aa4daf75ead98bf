/* SPDX-License-Identifier: MIT */
/*
 * bounded.h - calls into the kernel that nothing can interrupt, and that may never return.
 *
 * A thread that waits there keeps its process, whatever signal that gets. So the
 * call is made by a process of its own, which has our memory, and copies of our
 * descriptors: ours can end while it waits. As the caller waits for it, and does
 * nothing else meanwhile, it is as if the caller had made the call.
 */
#ifndef VMM_CORE_BOUNDED_H
#define VMM_CORE_BOUNDED_H

struct bounded {
	int ms;
	/* So long has the call not returned; often, if this returns. NULL: nobody hears. */
	void (*late)(void *arg);
	void *arg;
};

/*
 * Returns when fn(arg) has. It has no descriptors but those that there are now, and opens and
 * closes none that last. Where no process can be made, it is called here, and takes its time.
 */
void bounded_call(const struct bounded *b, void (*fn)(void *arg), void *arg);

#endif
