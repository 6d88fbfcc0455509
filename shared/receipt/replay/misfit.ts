import { utf8 } from '../../bytes.ts';
import type { ChorusError } from '../../errors.ts';
import { attestedEnds } from '../evidence/attest.ts';
import { salted } from '../evidence/salted.ts';
import { badReplay } from './bad-replay.ts';
import { positionsOf } from './replay-report.ts';
import { tokenRows } from './replay-stage.ts';
import { ReplayWork, type ReplayOptions } from './replay-work.ts';

const NEITHER =
  'neither prompt nor tokens are those of the receipt under this salt: the salt is another one, or both are';
const EITHER = 'the tokens are not those of the receipt, or the salt is another one';

/** Why tokens and salt are not those of the receipt, as closely as what the replicas of the first stage signed tells. */
export async function misfitOf(options: ReplayOptions): Promise<ChorusError> {
  const { predicate, tokens, salt, prompt = null } = options;
  const { request, positions, stages } = predicate;
  const count = request.tokens.prompt + request.tokens.answer;
  if (tokens.length !== count) return badReplay(`the receipt is of ${count} tokens, and ${tokens.length} were given`);
  const text = request.prompt?.text ?? request.prompt?.sha256;
  const isPrompt = prompt !== null && text === salted(salt, utf8(prompt));
  if (prompt !== null && text !== undefined && !isPrompt) return badReplay(NEITHER, { what: 'salt' });
  const chunks = attestedEnds(positions).map((_, chunk) => chunk);
  const work = new ReplayWork(options, chunks.at(-1)!);
  const { numericClass, chainAt } = await work.run(0, tokenRows(tokens, work.runs));
  for (const replica of stages[0]!.replicas) {
    const signed = work.signedBy(replica, numericClass);
    if (signed.reason !== '') continue;
    const chunk = chunks.find((each) => signed.chainAt(each) !== chainAt(each));
    if (chunk === undefined) {
      const last = 'the last token is not that of the receipt; no stage ran it';
      return badReplay(last, { what: 'tokens', start: tokens.length - 1, end: tokens.length });
    }
    if (chunk === 0 && !isPrompt) return badReplay(EITHER, { what: 'salt' });
    const { start, end } = positionsOf(chunk, positions);
    const where = `one of tokens ${start + 1} to ${end} is another one, counted from the beginning of the prompt`;
    return badReplay(`the tokens are not those of the receipt: ${where}`, { what: 'tokens', chunk, start, end });
  }
  return badReplay(EITHER);
}
