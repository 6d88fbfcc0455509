import { describe, expect, test } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import type { Commit, Reveal } from '#shared/judge/statement.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { AuditStand, tokens, type Lies } from '../../../support/audit-stand.ts';

type MessageOf<Type extends PeerMessage['type']> = Extract<PeerMessage, { type: Type }>;

function flipped(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const changed = bytes.slice();
  changed[0]! ^= 1;
  return changed;
}

/** Two spans among replicas of which one lies, from its first message on. */
async function withLiar(name: string, lies: Lies, shadows: readonly number[] = [1, 1, 1]): Promise<AuditStand> {
  const stand = new AuditStand(shadows);
  stand.at(name).lies = lies;
  await stand.link();
  for (const from of [0, 6]) {
    await stand.feed(tokens(6, from));
    await stand.tell((audit) => audit.closeSpan());
  }
  return stand;
}

/** A lie in the second span, when the first has gone well. */
const second = (change: (commit: Commit) => Partial<Commit>) => (commit: Commit) =>
  commit.index === 2 ? { ...commit, ...change(commit) } : commit;
const secondReveal = (change: (reveal: Reveal) => Partial<Reveal>) => (reveal: Reveal) =>
  reveal.index === 2 ? { ...reveal, ...change(reveal) } : reveal;

const badSignature = (message: PeerMessage): PeerMessage[] => {
  if (message.type === 'commit') {
    return [{ type: 'commit', commit: { ...message.commit, signature: flipped(message.commit.signature) } }];
  }
  if (message.type === 'reveal') {
    return [{ type: 'reveal', reveal: { ...message.reveal, signature: flipped(message.reveal.signature) } }];
  }
  return [message];
};

/** Lies that any replica may tell, and by what name it fails. */
const lies: Record<string, [string, Lies]> = {
  'no commit': ['commit-missing', { send: (message) => (message.type === 'commit' ? [] : [message]) }],
  'no reveal': ['reveal-missing', { send: (message) => (message.type === 'reveal' ? [] : [message]) }],
  'a second commit to something else': [
    'commit-doubled',
    {
      send: async (message, again) =>
        message.type === 'commit'
          ? [message, await again({ commit: (commit) => ({ ...commit, outputTo: flipped(commit.outputTo) }) })]
          : [message],
    },
  ],
  'a second reveal of something else': [
    'reveal-doubled',
    {
      send: async (message, again) =>
        message.type === 'reveal'
          ? [message, await again({ reveal: (reveal) => ({ ...reveal, output: flipped(reveal.output) }) })]
          : [message],
    },
  ],
  'a commit whose chain has the wrong size': [
    'commit-malformed',
    { commit: second(({ outputTo }) => ({ outputTo: outputTo.slice(1) })) },
  ],
  'a commit that begins elsewhere than its last one ended': [
    'commit-malformed',
    { commit: second(({ outputFrom }) => ({ outputFrom: flipped(outputFrom) })) },
  ],
  'a first commit that does not begin at zero': [
    'commit-malformed',
    { commit: (commit) => (commit.index === 1 ? { ...commit, outputFrom: flipped(commit.outputFrom) } : commit) },
  ],
  'a commit with a bad signature': [
    'commit-signature',
    { send: (message) => (message.type === 'commit' ? badSignature(message) : [message]) },
  ],
  'a commit in the name of another key': [
    'commit-signature',
    {
      send: (message) => {
        if (message.type !== 'commit') return [message];
        return [{ type: 'commit', commit: { ...message.commit, publicKey: flipped(message.commit.publicKey) } }];
      },
    },
  ],
  'a reveal with a bad signature': [
    'reveal-signature',
    { send: (message) => (message.type === 'reveal' ? badSignature(message) : [message]) },
  ],
  'a reveal in the name of another key': [
    'reveal-signature',
    {
      send: (message) => {
        if (message.type !== 'reveal') return [message];
        return [{ type: 'reveal', reveal: { ...message.reveal, publicKey: flipped(message.reveal.publicKey) } }];
      },
    },
  ],
  'a commit of another session': [
    'wrong-session',
    { commit: second(() => ({ session: '0'.repeat(32) as SessionId })) },
  ],
  'a reveal of another session': [
    'wrong-session',
    { reveal: secondReveal(() => ({ session: '0'.repeat(32) as SessionId })) },
  ],
  'a commit of another epoch': ['wrong-span', { commit: second(({ epoch }) => ({ epoch: epoch + 1 })) }],
  'a commit to another start': ['wrong-span', { commit: second(({ start }) => ({ start: start + 1 })) }],
  'a commit to another end': ['wrong-span', { commit: second(({ end }) => ({ end: end - 1 })) }],
  'a commit of another stage': ['wrong-span', { commit: second(({ stage }) => ({ stage: stage + 1 })) }],
  'a commit to a span that nobody asked for': ['wrong-span', { commit: second(() => ({ index: 3 })) }],
  'a reveal of another end': ['wrong-span', { reveal: secondReveal(({ end }) => ({ end: end - 1 })) }],
  'a reveal of another stage': ['wrong-span', { reveal: secondReveal(({ stage }) => ({ stage: stage + 1 })) }],
  'a reveal of a span that nobody asked for': ['wrong-span', { reveal: secondReveal(() => ({ index: 3 })) }],
  'a commit under another opening than its last one': [
    'opening-changed',
    { commit: second(({ opening }) => ({ opening: flipped(opening) })) },
  ],
  'a second commit to something else under another opening': [
    'opening-changed',
    {
      send: async (message, again) => {
        if (message.type !== 'commit') return [message];
        const other = { outputTo: flipped(message.commit.statement.outputTo) };
        const opening = flipped(message.commit.statement.opening);
        return [message, await again({ commit: (commit) => ({ ...commit, ...other, opening }) })];
      },
    },
  ],
  'a reveal under another opening than its commits': [
    'opening-changed',
    { reveal: secondReveal(({ opening }) => ({ opening: flipped(opening) })) },
  ],
  'a reveal under another seed': ['reveal-seed', { reveal: secondReveal(({ seed }) => ({ seed: flipped(seed) })) }],
  'a reveal with too little output': [
    'reveal-malformed',
    { reveal: secondReveal(({ output }) => ({ output: output.slice(4) })) },
  ],
  'a reveal with an input of the wrong size': [
    'reveal-malformed',
    { reveal: secondReveal(() => ({ input: new Uint8Array(64) })) },
  ],
};

describe.each([
  ['P0', 'primary', 0],
  ['V0a', 'shadow', 0],
  ['P1', 'primary', 1],
  ['V1a', 'shadow', 1],
  ['P2', 'primary', 2],
  ['V2a', 'shadow', 2],
] as const)('%s', (name, role, stage) => {
  test.each(Object.entries(lies))('fails alone by %s', async (_, [code, lie]) => {
    const stand = await withLiar(name, lie);
    await stand.pass(60_000);
    expect(stand.faults).toEqual([`${name} ${code}`]);
    expect(stand.failed[0]).toMatchObject({ role, stage, partner: null, isStageBare: role === 'shadow' });
    expect(stand.disputes).toEqual([]);
    expect(stand.audit.isOver).toBe(role === 'primary');
    expect(stand.isClosed(name)).toBe(role === 'shadow');
    if (role === 'primary') return;
    expect(stand.book.verdicts.end).toBe(12);
    // Its first statement may have been judged by the time that the second is verified.
    if (code !== 'reveal-doubled') expect(stand.verdicts.at(-1)).toBe('6-12 unchecked');
  });
});

describe('what is said twice', () => {
  test.each(['P0', 'V1a', 'P2'])('with the same content by %s changes nothing', async (name) => {
    const stand = new AuditStand([1, 1, 1]);
    stand.at(name).lies.send = (message) => [message, message];
    await stand.link();
    // Another is the last of all to speak, so that the span is still open when the echo comes.
    stand.isHeld = (from) => from === stand.at('V2a');
    await stand.feed(tokens(32));
    await stand.release();
    expect(stand.faults).toEqual([]);
    expect(stand.verdicts).toEqual(['0-32 checked']);
  });

  test('with other content comes with both signed statements', async () => {
    const stand = await withLiar('V1a', lies['a second commit to something else']![1]);
    const { proof } = stand.failed[0]!;
    if (proof?.type !== 'equivocation') throw new Error('a proof of equivocation');
    expect(proof.first.publicKey).toBe(proof.second.publicKey);
    expect(proof.first.statement).not.toBe(proof.second.statement);
  });

  test('the second time with a bad signature is no equivocation, and fails all the same', async () => {
    const stand = await withLiar('V1a', {
      send: async (message, again) => {
        if (message.type !== 'commit') return [message];
        const other = await again({ commit: (commit) => ({ ...commit, outputTo: flipped(commit.outputTo) }) });
        return [message, ...badSignature(other)];
      },
    });
    expect(stand.faults).toEqual(['V1a commit-signature']);
    expect(stand.failed[0]!.proof).toBeNull();
  });

  test('of a span that has its verdict is a replay', async () => {
    let old: PeerMessage[] = [];
    const stand = await withLiar('V1a', {
      send: (message) => {
        if (message.type === 'commit' && message.commit.statement.index === 1) old = [message];
        return message.type === 'commit' && message.commit.statement.index === 2 ? [...old, message] : [message];
      },
    });
    expect(stand.faults).toEqual(['V1a commit-replayed']);
  });
});

describe('a reveal before the challenge', () => {
  test('can know no seed', async () => {
    const stand = new AuditStand([1, 1]);
    stand.at('V1a').lies.send = (message) => {
      if (message.type !== 'commit') return [message];
      const { statement, publicKey, signature } = message.commit;
      const { session, opening, epoch, index, start, end, stage } = statement;
      const sketch = new Uint8Array(64 * (end - start));
      const reveal: Reveal = {
        ...{ session, opening, epoch, index, start, end, stage },
        seed: new Uint8Array(32),
        input: sketch,
        output: sketch,
      };
      const early: MessageOf<'reveal'> = { type: 'reveal', reveal: { statement: reveal, publicKey, signature } };
      return [early, message];
    };
    await stand.link();
    await stand.feed(tokens(32));
    expect(stand.faults).toEqual(['V1a reveal-seed']);
  });
});

describe('what passes from stage to stage', () => {
  const otherInput: Lies = { input: (row, position) => (position === 3 ? row.map((x) => x + 1) : row) };

  test('a primary that says it took in something else stands against the one before it', async () => {
    const stand = await withLiar('P1', otherInput);
    expect(stand.faults).toEqual(['P1 input-mismatch (P0)']);
  });

  test('a shadow that says so is dropped, and its word is remembered', async () => {
    const stand = await withLiar('V1a', otherInput);
    expect(stand.faults).toEqual(['V1a input-mismatch (P0)']);
    expect(stand.verdicts).toEqual(['0-6 unchecked', '6-12 unchecked']);
  });

  test('a primary that committed to other rows than it sent to both is named', async () => {
    const stand = await withLiar('P0', { commit: (commit) => ({ ...commit, outputTo: flipped(commit.outputTo) }) });
    expect(stand.faults).toEqual(['P0 output-mismatch']);
  });

  test('a primary that sends its next two shadows other rows, one after the other, is named the second time', async () => {
    const stand = new AuditStand([1, 2, 1]);
    stand.at('V1a').lies = otherInput;
    stand.at('V1b').lies = { input: (row, position) => (position === 40 ? row.map((x) => -x) : row) };
    await stand.link();
    await stand.feed(tokens(64));
    expect(stand.faults).toEqual(['V1a input-mismatch (P0)', 'P0 output-mismatch']);
    expect(stand.verdicts).toEqual(['0-32 checked']);
  });

  test('the same shadow is not two witnesses', async () => {
    const stand = await withLiar('V1a', { commit: (commit) => ({ ...commit, inputTo: flipped(commit.inputTo) }) });
    expect(stand.faults).toEqual(['V1a input-mismatch (P0)']);
  });

  test.each(['P0', 'V0a'])('the first stage’s %s must have taken in the requester’s tokens', async (name) => {
    const stand = await withLiar(name, {
      commit: second(({ inputTo }) => ({ inputTo: flipped(inputTo) })),
    });
    expect(stand.faults).toEqual([`${name} input-mismatch`]);
    expect(stand.verdicts[0]).toBe('0-6 checked');
  });

  test('the last primary must have given the logits that came', async () => {
    const stand = await withLiar('P2', { commit: second(({ outputTo }) => ({ outputTo: flipped(outputTo) })) });
    expect(stand.faults).toEqual(['P2 output-mismatch']);
  });

  test('the first stage’s primary must have computed in the runs that it was given', async () => {
    const stand = await withLiar('P0', { commit: second(({ shapes }) => ({ shapes: flipped(shapes) })) });
    expect(stand.faults).toEqual(['P0 shapes-mismatch']);
    expect(stand.verdicts[0]).toBe('0-6 checked');
  });

  test.each([
    ['P1', 'P0'],
    ['P2', 'P1'],
  ])('a later %s that did not stands against %s, which may have sent it other ones', async (name, before) => {
    const stand = await withLiar(name, { commit: second(({ shapes }) => ({ shapes: flipped(shapes) })) });
    expect(stand.faults).toEqual([`${name} shapes-mismatch (${before})`]);
  });

  test('a shadow may compute in runs of its own', async () => {
    const stand = await withLiar('V1a', {
      commit: ({ shapes, ...commit }) => ({ ...commit, shapes: flipped(shapes) }),
    });
    expect(stand.faults).toEqual([]);
    expect(stand.verdicts).toEqual(['0-6 checked', '6-12 checked']);
  });

  test('a primary that reveals another sketch than both receivers is named', async () => {
    const stand = await withLiar('P0', { reveal: (reveal) => ({ ...reveal, output: flipped(reveal.output) }) });
    expect(stand.faults).toEqual(['P0 sketch-mismatch']);
    expect(stand.failed[0]!.partner).toBeNull();
  });

  test.each(['P1', 'V1a'])('%s that reveals another input than sender and other receiver is named', async (name) => {
    const stand = await withLiar(name, { reveal: (reveal) => ({ ...reveal, input: flipped(reveal.input) }) });
    expect(stand.faults).toEqual([`${name} sketch-mismatch`]);
  });

  test('with nobody else to ask it is one’s word against the other’s', async () => {
    const lie = { reveal: (reveal: Reveal) => ({ ...reveal, input: flipped(reveal.input) }) };
    const stand = await withLiar('P1', lie, [1, 0, 1]);
    expect(stand.faults).toEqual(['P1 sketch-mismatch (P0)']);
  });

  test('a shadow that committed to the right rows and shows others is named', async () => {
    const stand = await withLiar('V1a', { reveal: (reveal) => ({ ...reveal, output: flipped(reveal.output) }) });
    expect(stand.faults).toEqual(['V1a sketch-mismatch']);
  });

  /** Changes the lowest bits of the log-sum-exp of the last row, which is still a well-formed row. */
  const otherLogits = secondReveal(({ output }) => {
    const changed = output.slice();
    changed[0]! ^= 1;
    return { output: changed };
  });

  async function withLogitsLiar(name: string): Promise<AuditStand> {
    const stand = new AuditStand([1, 1, 1]);
    stand.at(name).lies.reveal = otherLogits;
    await stand.link();
    await stand.feed(tokens(64), 0);
    return stand;
  }

  test('a last primary that reveals other logits than it sent is named with a proof', async () => {
    const stand = await withLogitsLiar('P2');
    expect(stand.faults).toEqual(['P2 sketch-mismatch']);
    expect(stand.failed[0]!.proof?.type).toBe('sketch');
  });

  test('a last shadow that reveals other logits than it committed to is named', async () => {
    const stand = await withLogitsLiar('V2a');
    expect(stand.faults).toEqual(['V2a sketch-mismatch']);
    expect(stand.verdicts).toEqual(['0-32 checked', '32-64 unchecked']);
  });
});

describe('numbers that are none', () => {
  test.each([NaN, Infinity])(
    '%s from a primary is named as that, whatever those after it make of it',
    async (value) => {
      const stand = new AuditStand([1, 1, 1]);
      const fill = (row: Float32Array<ArrayBuffer>) => row.fill(value, 0, 1);
      stand.at('P0').lies.output = fill;
      for (const name of ['P1', 'V1a']) stand.at(name).lies.input = fill;
      stand.at('P1').lies.output = (row) => row.fill(NaN);
      for (const name of ['P2', 'V2a']) stand.at(name).lies.input = (row) => row.fill(NaN);
      await stand.link();
      await stand.feed(tokens(32));
      expect(stand.faults).toEqual(['P0 not-finite']);
    },
  );

  test('from a shadow drops it', async () => {
    const stand = await withLiar('V1a', { output: (row) => row.fill(NaN) });
    expect(stand.faults).toEqual(['V1a not-finite']);
    expect(stand.verdicts).toEqual(['0-6 unchecked', '6-12 unchecked']);
  });

  test('from a shadow’s logits drops it', async () => {
    const stand = new AuditStand([1, 1]);
    stand.at('V1a').lies.output = (row) => row.fill(NaN);
    await stand.link();
    await stand.feed(tokens(32), 0);
    expect(stand.faults).toEqual(['V1a not-finite']);
  });
});

describe('wrong work', () => {
  const wrong: Record<string, (row: Float32Array<ArrayBuffer>) => Float32Array<ArrayBuffer>> = {
    zeros: (row) => row.fill(0),
    'a flipped sign': (row) => row.map((x) => -x),
    'a small push into one direction': (row) => row.map((x, i) => (i === 0 ? x + 0.01 : x)),
  };

  test.each(Object.entries(wrong))('%s by a primary is a difference of its own stage alone', async (_, change) => {
    const stand = new AuditStand([1, 1, 1], 'webgpu/toy');
    stand.at('P1').lies.output = change;
    for (const name of ['P2', 'V2a']) stand.at(name).lies.input = change;
    await stand.link();
    await stand.feed(tokens(32));
    expect(stand.faults).toEqual([]);
    expect(stand.disputes.map(({ stage }) => stage)).toEqual([1]);
    expect(stand.verdicts).toEqual([]);
  });

  test('two stages that differ in one span are two differences', async () => {
    const stand = new AuditStand([1, 1, 1]);
    for (const name of ['V0a', 'V2a']) stand.at(name).lies.output = (row) => row.map((x) => -x);
    await stand.link();
    await stand.feed(tokens(32), 0);
    expect(stand.disputes.map(({ stage }) => stage)).toEqual([0, 2]);
  });
});

test('nobody outside the route is listened to', async () => {
  const stand = new AuditStand([1, 1]);
  await stand.link();
  const { id } = stand.requester;
  await stand.tell((audit) => audit.linked(id));
  await stand.tell((audit) => audit.unreachable(id));
  await stand.tell((audit) => audit.onMessage(id, { type: 'ping', nonce: 1 }));
  expect(stand.faults).toEqual([]);
});
