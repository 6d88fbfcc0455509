import { readFileSync } from 'node:fs';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fromBase64, toHex, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { buildReceipt, signReceipt, type ReceiptParts } from '#shared/receipt/build/build-receipt.ts';
import { parseStatement, receiptId } from '#shared/receipt/read-receipt.ts';
import { receiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptFile, ReceiptStatement } from '#shared/receipt/receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { openLogService, type LogService } from '../../../signal-server/log/log-service.ts';
import { parseConfig, type ConfigInput } from '../../../signal-server/machine/config.ts';
import { ReceiptDesk, type ReceiptDeskDeps } from '../../../signal-server/receipts/receipt-desk.ts';
import { openSqliteStore } from '../../../signal-server/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../signal-server/store/store.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { realClock } from '../../support/real-clock.ts';
import {
  giveAnswer,
  ISSUED_AT_MS,
  makePeople,
  reattest,
  reroute,
  statementOf,
  type GivenAnswer,
  type People,
} from '../../support/receipts.ts';

const DAY_MS = 24 * 60 * 60_000;

interface Stand {
  readonly desk: ReceiptDesk;
  readonly deps: ReceiptDeskDeps;
  readonly log: LogService;
  readonly store: Store;
  readonly refused: string[];
  accepted: number;
  close(): Promise<void>;
}

let people: People;
let given: GivenAnswer;
let folder: string;
let stand: Stand;
let nowMs: number;

beforeAll(async () => {
  people = await makePeople();
  given = await giveAnswer(people);
});
beforeEach(async () => {
  nowMs = ISSUED_AT_MS + 20_000;
  folder = await newFolder();
  stand = await open();
});
afterEach(async () => {
  await stand.close();
  await removeFolder(folder);
});

/** The desk of a server with this data folder. */
async function open(config: ConfigInput = {}, more: Partial<ReceiptDeskDeps> = {}): Promise<Stand> {
  const store = await openSqliteStore(folder);
  const log = await openLogService({
    ...{ dataFolder: folder, origin: 'log.example/chorus', publicUrl: null, witnesses: [] },
    acknowledged: store.acknowledged,
    clock: realClock,
    onError: (error) => {
      throw error;
    },
    onDoubt: (error) => {
      throw error;
    },
  });
  const opened: Omit<Stand, 'desk' | 'deps'> = {
    log,
    store,
    refused: [],
    accepted: 0,
    async close() {
      await log.stop();
      await store.close();
    },
  };
  const deps: ReceiptDeskDeps = {
    clock: { ...realClock, wallMs: () => nowMs, nowMs: () => nowMs },
    log,
    store: store.receipts,
    catalog: { get: () => undefined },
    serverKey: people.server.publicKey,
    isGateway: () => false,
    config: parseConfig(config),
    onAccepted: () => void (result.accepted += 1),
    onRefused: (reason) => opened.refused.push(reason),
    ...more,
  };
  const desk = new ReceiptDesk(deps);
  const result: Stand = { ...opened, desk, deps };
  await desk.recover();
  return result;
}

async function reopen(config: ConfigInput = {}, more: Partial<ReceiptDeskDeps> = {}): Promise<void> {
  await stand.close();
  stand = await open(config, more);
}

/** Receipt `n` of one session, each linked to the one before it, and with what `more` says. */
async function receipt(n = 0, more: Partial<ReceiptParts> = {}): Promise<ReceiptFile> {
  const made = chain[n];
  if (made !== undefined && Object.keys(more).length === 0) return made;
  const { parts } = n === 0 ? given : await giveAnswer(people, { record: n + 1 });
  const previous = n === 0 ? null : receiptId(await receipt(n - 1));
  const file = await signReceipt(await buildReceipt({ ...parts, previous, ...more }), people.requester);
  if (Object.keys(more).length === 0) chain[n] = file;
  return file;
}
/** Receipts that were made. */
const chain: ReceiptFile[] = [];

/** The requester's other words, over its own signature. */
async function told(change: (statement: ReceiptStatement) => unknown): Promise<ReceiptFile> {
  const statement = statementOf(await receipt());
  await change(statement);
  return signReceipt(statement, people.requester);
}

async function refusalOf(file: Pick<ReceiptFile, 'envelope'>): Promise<string> {
  const error: unknown = await stand.desk.accept(file.envelope).catch((thrown: unknown) => thrown);
  if (!(error instanceof ChorusError)) throw new Error('it was accepted');
  return typeof error.details['check'] === 'string' ? error.details['check'] : error.code;
}

describe('the desk of receipts', () => {
  it('puts a receipt into the log and proves it', async () => {
    const file = await receipt();
    const logged = await stand.desk.accept(file.envelope);
    expect(logged.envelope).toEqual(file.envelope);
    expect(stand.log.status.size).toBe(1);
    const policy = `log ${stand.log.verifierKey}\nquorum none\n`;
    const found = await verifyReceipt({ receipt: logged, verify, policy, answer: given.answer });
    expect(found.checks.filter(({ status }) => status === 'failed')).toEqual([]);
    expect(found.summary?.log).toEqual({ origin: 'log.example/chorus', index: 0, size: 1 });
    expect(stand.accepted).toBe(1);
  });

  it('gives the same entry for the same receipt, at once or later', async () => {
    const file = await receipt();
    const both = await Promise.all([stand.desk.accept(file.envelope), stand.desk.accept(file.envelope)]);
    expect(both[1]).toEqual(both[0]);
    nowMs += 2 * DAY_MS;
    expect(await stand.desk.accept(file.envelope)).toEqual(both[0]);
    expect(stand.log.status.size).toBe(1);
    expect(stand.accepted).toBe(1);
  });

  it('reads a receipt with the newest proof, after a restart too', async () => {
    const file = await receipt();
    await stand.desk.accept(file.envelope);
    await stand.desk.accept((await receipt(1)).envelope);
    await reopen();
    const found = await stand.desk.read(receiptId(file));
    expect(found?.file?.envelope).toEqual(file.envelope);
    const { summary } = await verifyReceipt({ receipt: found?.file, verify });
    expect(summary?.log).toMatchObject({ index: 0, size: 2 });
    expect(await stand.desk.read(receiptId(await receipt(2)))).toBeNull();
  });

  it('tells of the log', async () => {
    await stand.desk.accept((await receipt()).envelope);
    await stand.desk.tidy();
    nowMs += 1_000;
    const { status } = stand.desk;
    expect(status).toMatchObject({ origin: 'log.example/chorus', vkey: stand.log.verifierKey, size: 1, doubt: null });
    expect(status.history).toEqual([
      { atMs: nowMs - 1_000, size: 1 },
      { atMs: nowMs, size: 1 },
    ]);
  });

  const wrong: [string, string, () => Promise<Pick<ReceiptFile, 'envelope'>>][] = [
    ['is no envelope', 'format', async () => ({ envelope: null as never })],
    [
      'is larger than 1 MiB',
      'too-large',
      async () => ({ envelope: { ...(await receipt()).envelope, payload: 'A'.repeat(2 ** 20 + 4) } }),
    ],
    [
      'was signed by somebody else',
      'requester-signature',
      async () => signReceipt(statementOf(await receipt()), people.log),
    ],
    [
      'has a route that nobody signed',
      'route-signature',
      () =>
        told(({ predicate: { route } }) => {
          route.envelope.signatures[0]!.sig = `${'A'.repeat(86)}==`;
        }),
    ],
    ['says another verdict', 'verdict', () => told(({ predicate }) => (predicate.verdict.tier = 'unchecked'))],
    [
      'has a route of another server',
      'server',
      async () => {
        const { evidence } = (await giveAnswer({ ...people, server: people.log })).parts;
        return receipt(0, { evidence, serverKey: people.log.publicKey });
      },
    ],
    [
      'has more positions than its route',
      'route-match',
      () =>
        told(({ predicate }) => {
          predicate.positions = predicate.request.tokens.answer = 131_072;
          predicate.request.tokens.prompt = 1;
        }),
    ],
    ['is no statement', 'statement', () => told((statement) => (statement.predicateType = 'x' as never))],
    [
      'has a route of another requester',
      'route-match',
      () => told((statement) => reroute(people, statement, (route) => (route.requester.id = people.log.id))),
    ],
    [
      'has an attestation of another stage',
      'attestation-match',
      () => told((statement) => reattest(people, statement, [0, 0], ({ predicate }) => (predicate.stage = 1))),
    ],
    [
      'names a calibration that is not known here',
      'thresholds',
      () => told(({ predicate }) => (predicate.thresholds.sha256 = 'ab'.repeat(32))),
    ],
    [
      'is padded with a field that is not known',
      'size',
      () => told((statement) => Object.assign(statement, { note: 'x'.repeat(50_000) })),
    ],
    [
      'has an attestation that is padded',
      'size',
      () =>
        told((statement) =>
          reattest(people, statement, [0, 1], (said) => Object.assign(said, { note: 'x'.repeat(9_000) })),
        ),
    ],
    [
      'says it is of the gateway',
      'requester-kind',
      () => receipt(0, { requester: { kind: 'gateway', identity: people.requester } }),
    ],
  ];
  it.each(wrong)('refuses one that %s, by name', async (_what, check, make) => {
    expect(await refusalOf(await make())).toBe(check);
    expect(stand.refused).toEqual([check]);
    expect(stand.log.status.size).toBe(0);
    expect(await stand.store.receipts.pending()).toEqual([]);
  });

  it.each([
    ['yesterday', DAY_MS + 30_000],
    ['tomorrow', -90_000],
  ])('refuses an answer of %s', async (_when, aheadMs) => {
    nowMs += aheadMs;
    expect(await refusalOf(await receipt())).toBe('age');
  });

  it('refuses what the manifest does not say of its model', async () => {
    const manifest = { ...given.parts.manifest, name: 'another' };
    await reopen({}, { catalog: { get: () => ({ manifest }) as never } });
    expect(await refusalOf(await receipt())).toBe('model');
  });

  it('takes a bounded number of receipts of a session, and of a key in a minute', async () => {
    await reopen({ limits: { receiptsPerSession: 2 } });
    for (const nonce of [0, 1]) await stand.desk.accept((await receipt(nonce)).envelope);
    expect(await refusalOf(await receipt(2))).toBe('rate-limited');
    await reopen({ limits: { receiptsPerRequesterPerMinute: 1 } });
    await stand.desk.accept((await receipt(3)).envelope);
    expect(await refusalOf(await receipt(4))).toBe('rate-limited');
    expect(stand.log.status.size).toBe(3);
  });

  it('takes no more of a session that come together than one after another', async () => {
    await reopen({ limits: { receiptsPerSession: 2 } });
    const files = await Promise.all([0, 1, 2, 3].map((nonce) => receipt(nonce)));
    const outcomes = await Promise.allSettled(files.map(({ envelope }) => stand.desk.accept(envelope)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    expect(stand.refused).toEqual(['rate-limited', 'rate-limited']);
    expect(stand.log.status.size).toBe(2);
  });

  it('takes no second receipt of a record, and none that hides one between', async () => {
    await stand.desk.accept((await receipt()).envelope);
    await stand.desk.accept((await receipt(1)).envelope);
    const random = (bytes: number) => new Uint8Array(bytes).fill(9);
    expect(await refusalOf(await receipt(0, { random }))).toBe('record');
    expect(await refusalOf(await receipt(2, { previous: receiptId(await receipt()) }))).toBe('record');
    await stand.desk.accept((await receipt(2)).envelope);
    expect(stand.log.status.size).toBe(3);
  });

  it('takes none of version 1 any more', async () => {
    const { receipt: former } = JSON.parse(readFileSync('test/vectors/receipt.json', 'utf8')) as {
      receipt: ReceiptFile;
    };
    expect(await refusalOf(former)).toBe('version');
  });

  it('does not hold its own gateway to a number in a minute', async () => {
    await reopen({ limits: { receiptsPerRequesterPerMinute: 1 } }, { isGateway: (id) => id === people.requester.id });
    const requester = { kind: 'gateway', identity: people.requester } as const;
    const first = await receipt(0, { requester });
    const second = await receipt(1, { requester, previous: receiptId(first) });
    for (const { envelope } of [first, second]) await stand.desk.accept(envelope);
    expect(stand.log.status.size).toBe(2);
    expect(await refusalOf(await receipt(2))).toBe('requester-kind');
  });

  it('drops the oldest envelopes, then all but the entry', async () => {
    const files = await Promise.all([0, 1].map((nonce) => receipt(nonce)));
    await reopen({ receiptCount: 1, receiptDays: 2 });
    for (const { envelope } of files) {
      await stand.desk.accept(envelope);
      nowMs += 1;
    }
    await stand.desk.tidy();
    expect(await stand.desk.read(receiptId(files[0]!))).toEqual({ index: 0, file: null });
    expect((await stand.desk.read(receiptId(files[1]!)))?.file).not.toBeNull();
    expect((await stand.desk.accept(files[0]!.envelope)).proof).toContain('\nindex 0\n');
    nowMs += 3 * DAY_MS;
    await stand.desk.tidy();
    expect(await stand.desk.read(receiptId(files[1]!))).toBeNull();
    expect(stand.log.status.size).toBe(2);
  });

  it('keeps the newest envelopes that fit into its room, and does not wait for the hour to drop others', async () => {
    const files = await Promise.all([0, 1, 2].map((nonce) => receipt(nonce)));
    const sizes = files.map(({ envelope }) => JSON.stringify(envelope).length);
    await reopen({ receiptBytes: sizes[1]! + sizes[2]! });
    for (const { envelope } of files) {
      await stand.desk.accept(envelope);
      nowMs += 1;
    }
    const kept = await Promise.all(files.map((file) => stand.desk.read(receiptId(file))));
    expect(kept.map((found) => found?.file?.envelope)).toEqual([undefined, files[1]!.envelope, files[2]!.envelope]);
    expect(kept.map((found) => found?.index)).toEqual([0, 1, 2]);
  });

  it('takes a receipt that says a little more than is known here', async () => {
    const file = await told((statement) => Object.assign(statement, { note: 'x'.repeat(1_000) }));
    expect((await stand.desk.accept(file.envelope)).proof).toContain('\nindex 0\n');
  });
});

describe('a desk after a crash', () => {
  /** The state of a desk's disk before it appends the entry. */
  const begin = async (file: ReceiptFile, log = stand.log.verifierKey): Promise<void> => {
    const { session, record } = parseStatement(file).predicate;
    const { envelope } = file;
    const at = { log, logSize: stand.log.status.size, atMs: nowMs };
    await stand.store.receipts.begin({ id: receiptId(file), session, record: record!, envelope, ...at }, 9);
  };

  it('finds the entry of a receipt that it was about to confirm', async () => {
    await stand.desk.accept((await receipt(1)).envelope);
    const file = await receipt();
    await begin(file);
    await stand.desk.accept((await receipt(2)).envelope);
    await stand.log.append(receiptEntry(file));
    await stand.desk.accept((await receipt(3)).envelope);
    await reopen();
    expect(await stand.desk.read(receiptId(file))).toMatchObject({ index: 2, file: { envelope: file.envelope } });
    expect(await stand.store.receipts.pending()).toEqual([]);
    await stand.desk.accept(file.envelope);
    expect(stand.log.status.size).toBe(4);
  });

  it('forgets a receipt that the log does not have, and takes it when it comes again', async () => {
    const file = await receipt();
    await begin(file);
    expect(await stand.desk.read(receiptId(file))).toBeNull();
    await reopen();
    expect(await stand.store.receipts.pending()).toEqual([]);
    expect(await stand.desk.read(receiptId(file))).toBeNull();
    await stand.desk.accept(file.envelope);
    expect(await stand.desk.read(receiptId(file))).toMatchObject({ index: 0 });
  });

  it('gives no receipt of another log a proof of this one', async () => {
    const [pending, confirmed] = [await receipt(), await receipt(1)];
    await begin(pending, 'log.example/other+00000000+AA==');
    await begin(confirmed, 'log.example/other+00000000+AA==');
    await stand.store.receipts.confirm(receiptId(confirmed), 0);
    await stand.log.append(utf8('the first entry'));
    await reopen();
    expect(await stand.desk.read(receiptId(confirmed))).toBeNull();
    expect(await stand.store.receipts.pending()).toEqual([]);
    await stand.desk.accept(confirmed.envelope);
    expect(await stand.desk.read(receiptId(confirmed))).toMatchObject({ index: 1 });
  });

  it('drops nothing in one start with a clock far ahead, and in the next', async () => {
    await stand.desk.accept((await receipt()).envelope);
    await stand.desk.tidy();
    const id = receiptId(await receipt());
    nowMs += 400 * DAY_MS;
    await reopen();
    await stand.desk.tidy();
    expect(await stand.desk.read(id)).toMatchObject({ index: 0 });
    await reopen();
    await stand.desk.tidy();
    expect(await stand.desk.read(id)).toBeNull();
  });

  describe('whose log cannot be written for a while', () => {
    const failure = new ChorusError('internal', 'the disk is full');
    let doubt: string | null;
    let appended: number;
    let desk: ReceiptDesk;

    beforeEach(() => {
      [doubt, appended] = ['the disk is full', 0];
      const log: ReceiptDeskDeps['log'] = {
        get status() {
          return { ...stand.log.status, doubt };
        },
        verifierKey: stand.log.verifierKey,
        async append(entry) {
          appended += 1;
          if (doubt !== null) throw failure;
          return stand.log.append(entry);
        },
        prove: (...given) => stand.log.prove(...given),
        tile: (tile) => stand.log.tile(tile),
      };
      desk = new ReceiptDesk({ ...stand.deps, log });
    });

    it('takes no more until the log does', async () => {
      for (const nonce of [0, 1]) {
        await expect(desk.accept((await receipt(nonce)).envelope)).rejects.toBe(failure);
      }
      await expect(desk.settle()).rejects.toBe(failure);
      expect(appended).toBe(1);
      expect(await stand.store.receipts.pending()).toHaveLength(1);
    });

    it('goes on by itself after that, and forgets what the log has not', async () => {
      const lost = await receipt(0);
      await expect(desk.accept(lost.envelope)).rejects.toBe(failure);
      doubt = null;
      await desk.accept((await receipt(1)).envelope);
      expect(await stand.store.receipts.pending()).toEqual([]);
      expect(await desk.read(receiptId(lost))).toBeNull();
      await desk.accept(lost.envelope);
      expect(await desk.read(receiptId(lost))).toMatchObject({ index: 1 });
    });

    it('finds what had reached the log all the same', async () => {
      const kept = await receipt(0);
      await expect(desk.accept(kept.envelope)).rejects.toBe(failure);
      doubt = null;
      await stand.log.append(receiptEntry(kept));
      await desk.settle();
      expect(await desk.read(receiptId(kept))).toMatchObject({ index: 0 });
      await desk.accept(kept.envelope);
      expect(stand.log.status.size).toBe(1);
    });
  });
});

describe('what the server keeps of a receipt', () => {
  it('has nothing of the prompt and its salt', async () => {
    const file = await receipt();
    await stand.desk.accept(file.envelope);
    const kept = JSON.stringify(await stand.store.receipts.get(receiptId(file), stand.log.verifierKey));
    const payload = new TextDecoder().decode(fromBase64(file.envelope.payload));
    for (const text of [kept, payload]) {
      expect(text).not.toContain(toHex(given.salt));
      expect(text).not.toContain('wren, and of the song');
    }
  });
});
