/** The thread that checks shown work: each message is one check, answered in order. Started by check-main.mjs. */
import { parentPort } from 'node:worker_threads';
import { isSolved } from '#shared/crypto/work.ts';
import { toChorusError } from '#shared/errors.ts';
import type { CheckReply, WorkCheck } from './check-message.ts';

const port = parentPort;
if (port === null) throw new Error('not in a worker thread, where alone check-main.ts can run');

async function check({ shown, ...work }: WorkCheck): Promise<CheckReply> {
  try {
    for (const { puzzle, nonce } of shown) if (!(await isSolved(work, puzzle, nonce))) return { isRight: false };
    return { isRight: true };
  } catch (thrown) {
    return { failure: toChorusError(thrown).message };
  }
}

port.on('message', (request: WorkCheck) => {
  void check(request).then((reply) => port.postMessage(reply));
});
