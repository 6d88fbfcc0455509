import { describe, expect, it } from 'vitest';
import { sha256 } from '@noble/hashes/sha2.js';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { drawRecordSchema, type Look, type RosterDraw, type Skip } from '#shared/draw/draw-form.ts';
import { MAX_UNSHOWN } from '#shared/draw/stage-draw.ts';
import type { DrawnRoute } from '#shared/draw/verify-draw.ts';
import { VrfKey } from '#shared/draw/vrf.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import {
  DrawnNetwork,
  ISSUED_AT_MS,
  NotDrawnError,
  RANGES,
  SeededKey,
  seededVolunteer,
  volunteersOf,
  type DrawChange,
} from '../../support/drawn-routes.ts';
import { repetitions } from '../../support/effort.ts';

const network = new DrawnNetwork('verify', volunteersOf('verify', 12));
/** A thousand forgeries are a thousand proofs and more. */
const PATIENCE_MS = repetitions(60_000, 1_200_000);
const OTHER_MODEL = 'b'.repeat(64) as Digest;

interface Made {
  readonly draw: RosterDraw;
  readonly route: DrawnRoute;
}

/** The primary of stage 1 of an honest draw. */
function firstOf(nonce: string): PeerId {
  return network.draw(nonce).route.stages[0]!.replicas[0]!.id;
}

/** A draw in which whoever would have been first is skipped for this reason. */
function skipping(nonce: string, skip: (id: PeerId) => Skip): Made {
  const first = firstOf(nonce);
  return network.draw(nonce, { skipOf: ({ id }) => (id === first ? skip(id) : null) });
}

function withLooks({ draw, route }: Made, change: (looks: Look[]) => Look[]): Made {
  const [first, ...rest] = draw.stages;
  return { draw: { ...draw, stages: [{ ...first!, looks: change([...first!.looks]) }, ...rest] }, route };
}

/** Each lie of a server, and the words that it is found by. */
const FORGERIES: Readonly<Record<string, readonly [(nonce: string) => Made, RegExp]>> = {
  'a roster that was made after the nonce': [
    (nonce) => network.draw(nonce, { rosterIndex: 9 }),
    /made after the requester had named its nonce/,
  ],
  'a roster that is said to be older than it is': [
    (nonce) => {
      const { draw, route } = network.draw(nonce, { rosterIndex: 9 });
      return { draw: { ...draw, roster: { ...draw.roster, index: 3 } }, route };
    },
    /not in the log that the requester saw/,
  ],
  'a draw for a nonce that nobody named': [
    (nonce) => network.draw(nonce, { drawnFor: { nonce: '0'.repeat(32) } }),
    /the proof of the draw is not one/,
  ],
  'a nonce that the requester did not sign': [
    (nonce) => {
      const { draw, route } = network.draw(nonce);
      return { draw: { ...draw, request: { ...draw.request, nonce: '0'.repeat(32) } }, route };
    },
    /did not sign this request/,
  ],
  'a number that the requester did not give': [
    (nonce) => {
      const { draw, route } = network.draw(nonce, { number: 2 });
      return { draw: { ...draw, request: { ...draw.request, number: 1 } }, route };
    },
    /did not sign this request/,
  ],
  'the number of another request': [
    (nonce) => network.draw(nonce, { number: 2, drawnFor: { number: 1 } }),
    /the proof of the draw is not one/,
  ],
  'a volunteer that is busy by a signature of somebody else': [
    (nonce) => skipping(nonce, (id) => network.busy(id, {}, new SeededKey('somebody else'))),
    /did not sign that it was/,
  ],
  'a volunteer that is busy by a state of long ago': [
    (nonce) => skipping(nonce, (id) => network.busy(id, { atMs: ISSUED_AT_MS - 60_000 })),
    /by a state that is not of then/,
  ],
  'a volunteer that is busy by a state that says the opposite': [
    (nonce) => skipping(nonce, (id) => network.busy(id, { sessions: 0 })),
    /its own state says that it was not/,
  ],
  'a skip that is not told': [
    (nonce) => {
      const made = skipping(nonce, () => ({ reason: 'gone' }));
      return withLooks(made, (looks) => looks.filter(({ skip }) => skip === null));
    },
    /not where the draw of stage 1 points|ends before the draw does/,
  ],
  'a skip that is not needed': [
    (nonce) => {
      const made = network.draw(nonce);
      return withLooks(made, (looks) => [...looks, { ...looks[0]!, skip: { reason: 'gone' } }]);
    },
    /shows more than the draw came upon/,
  ],
  'another volunteer in the place of the one drawn': [
    (nonce) => {
      const { draw, route } = network.draw(nonce);
      const [first, second] = route.stages;
      const stages = [{ ...first!, replicas: first!.replicas.toReversed() }, second!];
      return { draw, route: { ...route, stages } };
    },
    /gives stage 1 to others than the route does/,
  ],
  'a look at another place of the roster': [
    (nonce) => {
      const made = network.draw(nonce);
      const others = network.draw(`${nonce} other`).draw.stages[0]!.looks;
      return withLooks(made, (looks) => [others.find(({ id }) => id !== looks[0]!.id)!, ...looks.slice(1)]);
    },
    /not where the draw of stage 1 points/,
  ],
  'a false network in the look': [
    (nonce) =>
      withLooks(network.draw(nonce), ([first, ...rest]) => [
        { ...first!, network: toBase64(new Uint8Array(16)) },
        ...rest,
      ]),
    /not where the draw of stage 1 points/,
  ],
  'a false speed in the look': [
    (nonce) => withLooks(network.draw(nonce), ([first, ...rest]) => [{ ...first!, speed: 17 }, ...rest]),
    /not where the draw of stage 1 points/,
  ],
  'the roster of another model': [
    (nonce) => network.draw(nonce, { roster: network.rosterOf(OTHER_MODEL), sectionModel: OTHER_MODEL }),
    /no part of the roster for this model and these layers/,
  ],
  'the roster of other layers': [
    (nonce) => network.draw(nonce, { sectionRange: RANGES[1]! }),
    /no part of the roster for this model and these layers/,
  ],
  'a key that the roster does not name': [
    (nonce) => {
      const { draw, route } = network.draw(nonce, { vrf: new VrfKey(sha256(utf8(nonce))) });
      const honest = network.draw(nonce).draw;
      return {
        draw: { ...draw, roster: honest.roster, checkpoint: honest.checkpoint, request: honest.request },
        route,
      };
    },
    /the proof of the draw is not one/,
  ],
  'a proof with another byte': [
    (nonce) => {
      const { draw, route } = network.draw(nonce);
      return { draw: { ...draw, proof: `${draw.proof.startsWith('A') ? 'B' : 'A'}${draw.proof.slice(1)}` }, route };
    },
    /the proof of the draw is not one/,
  ],
  'another checkpoint than the one that was named': [
    (nonce) => {
      const { draw, route } = network.draw(nonce);
      return { draw: { ...draw, checkpoint: network.draw(nonce, { logSize: 7 }).draw.checkpoint }, route };
    },
    /not the one that the requester named/,
  ],
};

describe('the draw of a route, repeated', () => {
  it(
    'is right where the server was honest, and says how many it was drawn among',
    async () => {
      for (let i = 0; i < repetitions(2, 1_000); i++) {
        const made = network.draw(`honest ${i}`);
        expect(drawRecordSchema.safeParse(made.draw).success).toBe(true);
        expect((await network.verify(made)).networks).toEqual([12, 12]);
      }
    },
    PATIENCE_MS,
  );

  it('names those that were skipped with a reason', async () => {
    for (let i = 0; i < repetitions(1, 1_000); i++) {
      const busy = skipping(`busy ${i}`, (id) => network.busy(id));
      expect((await network.verify(busy)).skips).toEqual({ busy: 1, failed: 0, gone: 0, 'left-out': 0 });
      expect(busy.route.stages[0]!.replicas[0]!.id).not.toBe(firstOf(`busy ${i}`));
    }
    for (const reason of ['gone', 'left-out', 'failed'] as const) {
      expect((await network.verify(skipping(reason, () => ({ reason })))).skips[reason]).toBe(1);
    }
  });

  it('takes a volunteer for busy that would be too slow beside its sessions, and for free one that would not', async () => {
    const beside = (sessions: number) => skipping('slow', (id) => network.busy(id, { sessions, slots: 64 }));
    expect((await network.verify(beside(3))).skips.busy).toBe(1);
    expect(await codeOfAsync(network.verify(beside(1)))).toBe('check-failed');
  });

  for (const [title, [forge, words]] of Object.entries(FORGERIES)) {
    it(
      `finds ${title}`,
      async () => {
        const count = repetitions(1, 1_000);
        let found = 0;
        for (let i = 0; i < count; i++) {
          const error: unknown = await network.verify(forge(`${title} ${i}`)).catch((thrown: unknown) => thrown);
          expect(error).toMatchObject({ code: 'check-failed', message: expect.stringMatching(words) as string });
          found += 1;
        }
        expect(found).toBe(count);
      },
      PATIENCE_MS,
    );
  }

  it('is none where more are skipped on the word of server or requester than may be', () => {
    const skipAll: DrawChange['skipOf'] = () => ({ reason: 'gone' });
    expect(() => network.draw('unshown', { skipOf: skipAll })).toThrow(NotDrawnError);
    let left = MAX_UNSHOWN + 1;
    const reasons = ['gone', 'left-out', 'failed'] as const;
    const some: DrawChange['skipOf'] = () => (left-- > 0 ? { reason: reasons[left]! } : null);
    expect(() => network.draw('unshown', { skipOf: some })).toThrow('too-many-unshown');
  });

  it('finds more skips on the word of server or requester than may be, although the server recorded them', async () => {
    const busy = network.draw('many', {
      skipOf: (() => {
        let left = MAX_UNSHOWN + 1;
        return ({ id }) => (left-- > 0 ? network.busy(id) : null);
      })(),
    });
    for (const reason of ['gone', 'left-out', 'failed'] as const) {
      const other = withLooks(busy, (looks) => looks.map((look) => ({ ...look, skip: look.skip && { reason } })));
      await expect(network.verify(other)).rejects.toThrow(/more than 2 on the word of server or requester alone/);
    }
  });

  it('goes on into the slow where nobody else could check a stage, and finds who was taken before others could', async () => {
    const quick = { speed: 16 };
    const slow = { speed: 40 };
    const stage = (name: string, facts: readonly { readonly speed: number }[]) =>
      facts.map((fact, i) => seededVolunteer(`${name} ${i}`, `10.${name}.${i}`, fact));
    const lone = new DrawnNetwork('slow', [stage('a', [quick, slow]), stage('b', [quick, quick, slow])]);
    const made = lone.draw('slow');
    expect(made.route.stages.map(({ replicas }) => replicas.length)).toEqual([2, 2]);
    expect(made.draw.stages[0]!.looks.map(({ speed }) => speed)).toEqual([16, 16, 40]);
    expect(made.draw.stages[1]!.looks.every(({ speed }) => speed === 16)).toBe(true);
    await expect(lone.verify(made)).resolves.toMatchObject({ networks: [1, 2] });
    const [first, second] = made.route.stages;
    const bare = { ...made.route, stages: [{ ...first!, replicas: first!.replicas.slice(0, 1) }, second!] };
    await expect(lone.verify({ ...made, route: bare })).rejects.toThrow(/gives stage 1 to others/);
    const unseen = withLooks(made, (looks) => looks.slice(0, -1));
    await expect(lone.verify({ ...unseen, route: bare })).rejects.toThrow(/ends before the draw does/);
  });

  it('takes a slow volunteer for busy only where it has no slot left', async () => {
    const stage = [seededVolunteer('q', '10.1', { speed: 16 }), seededVolunteer('s', '10.2', { speed: 40 })];
    const lone = new DrawnNetwork('slow and busy', [stage, volunteersOf('slow and busy', 4)[1]!]);
    const slow = stage[1]!.key.id;
    const beside = (sessions: number) =>
      lone.draw('busy', { skipOf: ({ id }) => (id === slow ? lone.busy(id, { sessions, slots: 4 }) : null) });
    expect((await lone.verify(beside(4))).skips.busy).toBe(1);
    await expect(lone.verify(beside(3))).rejects.toThrow(/its own state says that it was not/);
  });

  it('is bound to its requester, model and capacity', async () => {
    const made = network.draw('bound');
    const other = new SeededKey('other requester');
    const routes: Partial<DrawnRoute>[] = [
      { requester: other.id },
      { requester: other.id, requesterKey: other.publicKey },
      { model: OTHER_MODEL },
      { capacity: 512 },
      { server: other.id },
    ];
    for (const change of routes) {
      const error = await codeOfAsync(network.verify({ ...made, route: { ...made.route, ...change } }));
      expect(error).toBe('check-failed');
    }
  });
});
