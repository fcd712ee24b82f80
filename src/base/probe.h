/* USDT probes (DTrace-style static tracepoints): a nop and a note in the ELF file where tools as bpftrace
 * and perf may attach; nothing where <sys/sdt.h> (Debian: systemtap-sdt-dev) was not there at build time.
 * doc/probes.md names them all. Arguments are evaluated always: give what is in a register anyway. */
#ifndef CAIRN_BASE_PROBE_H
#define CAIRN_BASE_PROBE_H

#if defined(CAIRN_HAS_SDT) && !defined(CAIRN_NO_SIGHT)
#include <sys/sdt.h>
#define PROBE3(name, a, b, c) DTRACE_PROBE3(cairn, name, a, b, c)
#define PROBE4(name, a, b, c, d) DTRACE_PROBE4(cairn, name, a, b, c, d)
#else
#define PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define PROBE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

#endif
