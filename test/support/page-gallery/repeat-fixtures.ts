import type { PeerId } from '#shared/ids.ts';
import type { RepeatReport } from '#shared/peer/replay/repeat-answer.ts';
import type { ReplayedOutput } from '#shared/receipt/replay/replay-report.ts';
import type { RepeatRequest } from '../../../web/state/repeat/repeat.svelte.ts';

const POSITIONS = 90;
const PROMPT_TOKENS = 41;
const ranges = [
  { start: 0, end: 3, embedding: true, head: false },
  { start: 3, end: 6, embedding: false, head: true },
];

/** Reports by what the gallery shows; `repeating` never ends. */
export async function repeatedHere(show: string, { onProgress, signal }: RepeatRequest): Promise<RepeatReport> {
  if (show === 'repeat-weights') onProgress({ phase: 'weights', done: 3_200_000, total: 6_300_000 });
  else onProgress({ phase: 'positions', stage: 1, stages: 2, done: 122, total: 180 });
  if (show === 'repeating' || show === 'repeat-weights') {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }
  const differsFrom = show === 'repeat-differs' ? 1 : 3;
  const outputs = [0, 1].flatMap((stage) =>
    [0, 1, 2].map((chunk): ReplayedOutput => {
      const place = { stage, chunk, role: 'primary', replica: `${stage}`.repeat(64) as PeerId } as const;
      const isOther = show === 'repeat-close' && stage === 1;
      if (isOther)
        return { ...place, outcome: 'not-compared', reason: 'bits of webgpu/nvidia/ampere depend on the device' };
      return { ...place, outcome: stage === 0 && chunk >= differsFrom ? 'differs' : 'equal', reason: '' };
    }),
  );
  const isSame = differsFrom === 3;
  const tokens = {
    ...{ compared: 50, equal: isSame ? 50 : 31, undrawn: 0, largestGap: isSame ? 0 : 2.1, limit: 0 },
    ...{ beyond: isSame ? 0 : 19, firstBeyond: isSame ? null : 60 },
  };
  const of = { ranges, positions: POSITIONS, promptTokens: PROMPT_TOKENS };
  return { isValid: isSame, outputs, tokens, of, isSpelt: true, goesOn: false, isPrompted: true };
}
