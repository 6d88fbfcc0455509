import { readdirSync, readFileSync } from 'node:fs';

/** Processor time so far, in seconds. */
interface Spent {
  readonly atMs: number;
  readonly all: number;
  /** Of this process and all below it. */
  readonly own: number;
}

/** The unit of processor times in `/proc`, on every Linux. */
const TICKS_PER_SECOND = 100;

/** Runs `work`; answers too how many cores other programs, or other machines of the host, kept busy meanwhile. NaN where no `/proc` says. */
export async function watchOthers<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly cores: number }> {
  const before = spentSoFar();
  const result = await work();
  const after = spentSoFar();
  if (before === null || after === null) return { result, cores: NaN };
  const others = after.all - before.all - (after.own - before.own);
  return { result, cores: Math.max(0, (1000 * others) / (after.atMs - before.atMs)) };
}

function spentSoFar(): Spent | null {
  if (process.platform !== 'linux') return null;
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]!
    .split(/\s+/)
    .map(Number);
  const all = (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
  return { atMs: performance.now(), all, own: ownTicks() / TICKS_PER_SECOND };
}

/** Of the whole tree of processes, with those that have ended and were waited for. */
function ownTicks(): number {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
  const own = new Set([process.pid]);
  for (let size = 0; size !== own.size;) {
    size = own.size;
    for (const { pid, parent } of processes) if (own.has(parent)) own.add(pid);
  }
  return processes.reduce((sum, { pid, ticks }) => sum + (own.has(pid) ? ticks : 0), 0);
}

function readProcess(pid: number): { pid: number; parent: number; ticks: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // A program's name comes first, in parentheses, and may hold anything.
    const [, parent = 0, ...rest] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    return { pid, parent, ticks: rest.slice(9, 13).reduce((sum, ticks) => sum + ticks, 0) };
  } catch {
    // It has ended.
    return null;
  }
}
