import { beforeAll, expect, test } from 'vitest';
import { seeded } from '../../../scripts/mutants/draw.ts';
import { ChorusError } from '#shared/errors.ts';
import { decodePeerMessage, encodePeerMessage } from '#shared/wire/codec/peer-codec.ts';
import { Reassembler, splitMessage } from '#shared/wire/codec/frame.ts';
import { peerControlMessageSchema } from '#shared/wire/control-message.ts';
import { checkedNetwork, prompt, scaled } from '../../support/checked-network.ts';
import { repetitions } from '../../support/effort.ts';
import { mutatedBytes, mutatedJson } from '../../support/mutations.ts';
import { greedy } from '../../support/toy-stalls.ts';

const LIMIT_MS = 600_000;
/** Messages of sessions that were held, cut, checked, settled and signed, one of each type and kind. */
const messages = new Map<string, Uint8Array<ArrayBuffer>>();
const controls = new Map<string, unknown>();

beforeAll(async () => {
  const network = checkedNetwork(['referee'], 3);
  network.of(1)[1]!.compute.tamper = scaled(-1, 0);
  const { requester, control } = network.requester();
  const conversation = requester.openConversation(network.model);
  for (const length of [40, 20]) await network.ask(conversation, greedy(prompt(length), 8));
  conversation.close();
  for (const { message } of network.links.log) {
    const kind = message.type === 'rows' ? message.rows.kind : '';
    messages.set(`${message.type} ${kind}`, encodePeerMessage(message));
  }
  for (const message of control.sent) controls.set(message.type, message);
});

/** The code of a refusal, or `taken`; anything else that is thrown is a fault. */
function outcomeOf(seed: number, work: () => unknown): string {
  try {
    work();
    return 'taken';
  } catch (thrown) {
    if (thrown instanceof ChorusError) return thrown.code;
    throw new Error(`seed ${seed}`, { cause: thrown });
  }
}

test(
  'a message of a peer with any bytes changed is taken or refused in words, and holds no more memory than it brought',
  { timeout: LIMIT_MS },
  () => {
    expect([...messages.keys()].map((key) => key.split(' ')[0]!)).toEqual(
      expect.arrayContaining([
        'open',
        'ready',
        'rows',
        'cut',
        'close',
        'audit',
        'check',
        'commit',
        'challenge',
        'reveal',
      ]),
    );
    expect(messages.size).toBeGreaterThanOrEqual(16);
    const found = new Set<string>();
    const kinds = [...messages.values()];
    for (let seed = 0; seed < repetitions(2_000, 100_000); seed++) {
      const chance = seeded(seed);
      const bytes = mutatedBytes(kinds[seed % kinds.length]!, chance);
      found.add(outcomeOf(seed, () => decodePeerMessage(bytes)));
      const reassembler = new Reassembler();
      const pieces = [...splitMessage(seed, kinds[seed % kinds.length]!)].map((piece) => mutatedBytes(piece, chance));
      let brought = 0;
      for (const piece of pieces) {
        brought += piece.length;
        found.add(outcomeOf(seed, () => reassembler.add(piece)));
        expect(reassembler.heldBytes).toBeLessThanOrEqual(2 * brought);
      }
    }
    expect([...found].sort()).toEqual(['bad-message', 'protocol-version', 'taken', 'too-large']);
  },
);

test(
  'a message to the server with anything changed is taken or refused, without a throw',
  { timeout: LIMIT_MS },
  () => {
    expect([...controls.keys()]).toEqual(expect.arrayContaining(['route', 'release', 'replay', 'report']));
    const found = new Set<boolean>();
    const kinds = [...controls.values()];
    for (let seed = 0; seed < repetitions(2_000, 100_000); seed++) {
      const changed = mutatedJson(kinds[seed % kinds.length], seeded(seed));
      outcomeOf(seed, () => found.add(peerControlMessageSchema.safeParse(changed).success));
    }
    expect(found).toEqual(new Set([true, false]));
  },
);
