/**
 * A thread that only waits: browsers slow down the timers of a page that nobody looks at, and not those of its threads.
 *
 *   page -> thread   a number of milliseconds, in place of the one before
 *   thread -> page   null, once they are over
 */
interface Thread {
  onmessage: ((event: MessageEvent<number>) => void) | null;
  postMessage(message: null): void;
}

function wait(thread: Thread): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  thread.onmessage = ({ data: delayMs }) => {
    clearTimeout(timer);
    timer = setTimeout(() => thread.postMessage(null), delayMs);
  };
}

wait(globalThis);
