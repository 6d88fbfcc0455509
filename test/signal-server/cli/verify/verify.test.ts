import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { formatReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import { salted } from '#shared/receipt/evidence/salted.ts';
import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';
import { promptBytes } from '#shared/text/prompt-bytes.ts';
import { textOf } from '#shared/text/prompt.ts';
import type { ServedStage } from '../../../../worker/served-stage.ts';
import { runChorus } from '../../../support/chorus-process.ts';
import { callChorus } from '../../../support/command.ts';
import { isThorough } from '../../../support/effort.ts';
import { loadEngineStage } from '../../../support/engine-stage.ts';
import { importWren } from '../../../support/imported-wren.ts';
import { playAnswer, type Played } from '../../../support/played-answer.ts';
import { logReceipt, makePeople, policyOf, retold } from '../../../support/receipts.ts';
import { wrenChat, wrenText } from '../../../support/wren-text.ts';

const people = await makePeople();
const prompt = wrenChat([{ role: 'user', content: 'Tell me about birds, and about the smallest of them.' }]);
let folder = '';
let played: Played;
let stages: ServedStage[] = [];
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chorus-verify-'));
  vi.stubEnv('CHORUS_MEMORY', at('memory'));
  const wren = await importWren();
  const { manifest, blob } = wren;
  const manifestBytes = utf8(JSON.stringify(manifest));
  const openStage = async (range: StageRange) => {
    const stage = await loadEngineStage({ manifest, blob }, range);
    stages.push(stage);
    return stage;
  };
  const { layers } = manifest.config;
  const ranges = [
    { start: 0, end: 2, embedding: true, head: false },
    { start: 2, end: layers, embedding: false, head: true },
  ] as const;
  played = await playAnswer(people, {
    manifest,
    manifestBytes,
    ranges,
    openStage,
    text: wrenText,
    prompt,
    count: 24,
    numericClass: ENGINE_CLASS,
  });
  await Promise.all(stages.map((stage) => stage.release()));
  stages = [];

  await mkdir(at('data/models'), { recursive: true });
  await symlink(join(wren.dataFolder, 'blobs'), at('data/blobs'));
  const envelope = await signEnvelope(people.server, MANIFEST_PAYLOAD_TYPE, manifestBytes);
  await writeFile(at(`data/models/${digestOf(manifestBytes)}.json`), JSON.stringify(envelope));
  await writeFile(at('manifest.json'), JSON.stringify(envelope));
  await writeFile(at('receipt.json'), JSON.stringify(played.receipt));
  await writeFile(at('answer.txt'), `${played.answer}\n`);
  await writeFile(at('prompt.txt'), prompt);
  await writeFile(at('policy.txt'), policyOf(people));
  await writeFile(
    at('secrets.json'),
    formatReceiptSecrets({
      ...{ salt: played.salt, prompt, tokens: played.tokens },
      pieces: { ...wrenText.textPrompt(prompt, true), isRendered: true },
    }),
  );
}, 240_000);

afterAll(() => {
  vi.unstubAllEnvs();
  return rm(folder, { recursive: true, force: true });
});

const chorusVerify = (...args: string[]) =>
  isThorough ? runChorus(['verify', ...args]) : callChorus('verify', ...args);

describe('chorus verify', () => {
  it('succeeds where nothing is wrong, and names each check', { timeout: 120_000 }, async () => {
    const salt = Buffer.from(played.salt).toString('hex');
    const more = [
      '--answer',
      at('answer.txt'),
      '--prompt',
      at('prompt.txt'),
      '--salt',
      salt,
      '--policy',
      at('policy.txt'),
    ];
    const { code, out, err } = await runChorus(['verify', at('receipt.json'), ...more]);
    expect([code, err]).toEqual([0, '']);
    for (const name of ['requester-signature', 'answer', 'prompt', 'chains', 'verdict', 'log-inclusion', 'witnesses']) {
      expect(out).toMatch(new RegExp(`^ok +${name} `, 'm'));
    }
    expect(out).toMatch(/^- +tokens /m);
    expect(out).toContain('collusion of both is not excluded');
    expect(out).toMatch(/^No check failed\.\n/);
  });

  it('fails with the name of what is wrong, as JSON too', { timeout: 120_000 }, async () => {
    await writeFile(at('other.txt'), 'another answer');
    const { code, out } = await chorusVerify(at('receipt.json'), '--answer', at('other.txt'), '--json');
    const { isValid, checks } = JSON.parse(out) as Verification;
    expect([code, isValid]).toEqual([1, false]);
    expect(checks.filter(({ status }) => status === 'failed').map(({ name }) => name)).toEqual(['answer']);
    await writeFile(at('none.json'), 'no receipt');
    const none = await chorusVerify(at('none.json'));
    expect(none.code).toBe(1);
    expect(none.out).toMatch(/^This receipt does not hold\.\n[^]*^FAILED +format /m);
    const unsalted = await chorusVerify(at('receipt.json'), '--prompt', at('prompt.txt'));
    expect(unsalted.code).toBe(1);
    expect(unsalted.out).toContain('The prompt that was given could not be compared.');
    await writeFile(at('bytes.txt'), Uint8Array.of(0xff));
    expect((await chorusVerify(at('receipt.json'), '--answer', at('bytes.txt'))).err).toContain('cannot be read');
    const absent = await chorusVerify(at('absent.json'));
    expect(absent.code).toBe(1);
    expect(absent.err).toContain('cannot be read');
  });

  it('fails where something that was asked for was not checked', { timeout: 120_000 }, async () => {
    const bare = await chorusVerify(at('receipt.json'));
    expect(bare.code).toBe(0);
    expect(bare.out).toMatch(
      /^Not checked: answer, prompt, tokens, draw, model, .*Success speaks only of what was checked/m,
    );
    const given = ['--answer', at('answer.txt'), '--policy', at('policy.txt'), '--manifest', at('manifest.json')];
    const asked = await chorusVerify(at('receipt.json'), ...given, '--require', 'answer,prompt,model,log,witnesses');
    expect(asked.code).toBe(1);
    expect(asked.out).toMatch(/^Required, and not shown: prompt\.$/m);
    const enough = await chorusVerify(at('receipt.json'), ...given, '--require', 'answer,model,log,witnesses');
    expect([enough.code, enough.err]).toEqual([0, '']);
    expect(enough.out).toMatch(/^ok +model /m);
    expect((await chorusVerify(at('receipt.json'), '--require', 'trust')).err).toContain('Expected some of answer,');
  });

  it('takes a manifest by its bytes alone too, and no other', { timeout: 120_000 }, async () => {
    const envelope = JSON.parse(await readFile(at('manifest.json'), 'utf8')) as { readonly payload: string };
    await writeFile(at('payload.json'), Buffer.from(envelope.payload, 'base64'));
    expect((await chorusVerify(at('receipt.json'), '--manifest', at('payload.json'))).out).toMatch(/^ok +model /m);
    const other = await chorusVerify(at('receipt.json'), '--manifest', at('secrets.json'));
    expect([other.code, other.out.match(/^FAILED.*$/gm)?.length]).toEqual([1, 1]);
    expect(other.out).toMatch(/^FAILED +model /m);
    await writeFile(at('broken.json'), JSON.stringify({ ...envelope, payload: 'no base64' }));
    const broken = await chorusVerify(at('receipt.json'), '--manifest', at('broken.json'));
    expect([broken.code, broken.err.split('\n').length]).toEqual([1, 2]);
    expect(broken.err).toContain('not base64 in the one way that is allowed');
  });

  it(
    'remembers the log, and shows both checkpoints where it has signed two histories',
    { timeout: 120_000 },
    async () => {
      const forged = await logReceipt(people, played.receipt, 3, 'a forged entry');
      await writeFile(at('forged.json'), JSON.stringify(forged));
      const policy = ['--policy', at('policy.txt')];
      const unseen = await chorusVerify(at('forged.json'), ...policy, '--no-remember');
      expect(unseen.code).toBe(0);
      await chorusVerify(at('receipt.json'), ...policy);
      const again = await chorusVerify(at('receipt.json'), ...policy, '--require', 'history');
      expect([again.code, again.err]).toEqual([0, '']);
      expect(again.out).toMatch(/^ok +log-history +Unchanged, with 7 entries\.$/m);

      const split = await chorusVerify(at('forged.json'), ...policy);
      expect([split.code, split.err]).toEqual([1, '']);
      expect(split.out.match(/^FAILED.*$/gm)).toHaveLength(1);
      expect(split.out).toMatch(/^FAILED +log-history +The log shows two different histories: /m);
      for (const { proof } of [played.receipt, forged]) {
        expect(split.out).toContain(proof!.slice(proof!.indexOf('\n\n') + 2));
      }
      const told = JSON.parse((await chorusVerify(at('forged.json'), ...policy, '--json')).out) as {
        isValid: boolean;
        history: { kind: string; checkpoints: string[]; memory: string };
      };
      expect(told).toMatchObject({ isValid: false, history: { kind: 'split-view' } });
      expect(told.history.checkpoints).toHaveLength(2);
      expect(await readFile(told.history.memory, 'utf8')).toContain('chorus-log-memory/1');
    },
  );

  it('fails where the log that it was to ask shows nothing', { timeout: 120_000 }, async () => {
    const options = ['--policy', at('policy.txt'), '--memory', at('other'), '--log', 'http://127.0.0.1:9'];
    const { code, out } = await chorusVerify(at('receipt.json'), ...options);
    expect(code).toBe(1);
    expect(out).toMatch(/^- +log-history +The log cannot be reached: /m);
    expect(out).toContain('The log that was to be asked has shown nothing.');
    const without = await chorusVerify(at('receipt.json'), '--log', 'http://127.0.0.1:9');
    expect(without.code).toBe(1);
    expect(without.out).toMatch(/^- +log-history +no log of a policy/m);
  });

  it('computes the answer again from the model at hand', { timeout: 240_000 }, async () => {
    const options = ['--secrets', at('secrets.json'), '--answer', at('answer.txt'), '--replay', '--data', at('data')];
    const { code, out } = await chorusVerify(at('receipt.json'), ...options);
    expect(out).toMatch(/stage 1 of [0-9a-f]{8}: chunks 0, 1 equal bit for bit/);
    expect(out).toMatch(/stage 1 of [0-9a-f]{8}: chunks 0, 1 equal bit for bit/);
    expect(out).toContain('Every number of this answer is the same here.');
    expect(out).toContain('tokens: 24 of 24 are those the sampler draws here');
    expect(out).toContain('the tokens spell the answer');
    expect(out).toMatch(/^ok +model /m);
    expect(code).toBe(0);
    // What is shown is no longer among what is not.
    expect(out).toContain('Computed again here, the tokens of this prompt draw this answer.');
    expect(out).not.toMatch(/a replay can tell|A replay can tell/);
    const without = await chorusVerify(at('receipt.json'), '--replay', '--data', at('data'));
    expect(without.code).toBe(1);
    expect(without.out).toContain('the salt is missing; a replay needs it');
  });

  it(
    'finds a prompt that the tokens do not spell by a replay, and says before that who says so',
    { timeout: 240_000 },
    async () => {
      const pieces = wrenText.chatPrompt([{ role: 'user', content: 'What should one never trust?' }]);
      const { salt, tokens } = played;
      const forged = await retold(people, played.receipt, ({ predicate: { request } }) => {
        request.prompt = { sha256: salted(salt, promptBytes(pieces)), text: salted(salt, utf8(textOf(pieces))) };
      });
      await writeFile(at('forged.json'), JSON.stringify(forged));
      await writeFile(
        at('forged-secrets.json'),
        formatReceiptSecrets({ salt, prompt: textOf(pieces), pieces, tokens }),
      );
      const given = [at('forged.json'), '--secrets', at('forged-secrets.json'), '--answer', at('answer.txt')];
      const alone = await chorusVerify(...given);
      expect([alone.code, alone.out]).toEqual([
        0,
        expect.stringMatching(/On the requester’s word alone: which prompt was asked.*\n$/),
      ]);
      const replayed = await chorusVerify(...given, '--replay', '--data', at('data'), '--chunks', '0');
      expect(replayed.code).toBe(1);
      expect(replayed.out).toContain('prompt: the tokens that were fed ARE NOT those of the prompt at hand');
    },
  );

  it('tells a tier and keys that were asked for, and ends with whose word it is', { timeout: 120_000 }, async () => {
    const key = Buffer.from(people.server.publicKey).toString('base64');
    const named = await chorusVerify(at('receipt.json'), '--require', `checked,settled,server=${key}`);
    expect([named.code, named.out]).toEqual([
      0,
      expect.stringMatching(/\nchecked: .*You named the key of the server\..*\n$/),
    ]);
    for (const wrong of [`server=${people.log.id}`, `requester=${people.server.id}`]) {
      const other = await chorusVerify(at('receipt.json'), '--require', wrong);
      expect([other.code, other.out]).toEqual([1, expect.stringContaining(`Required, and not shown: ${wrong}.`)]);
    }
    const nobody = await chorusVerify(at('receipt.json'));
    expect(nobody.out).toMatch(/None of these keys is one that you named, and no log that you trust has it.*\n$/);
  });

  it('says where only the ends of lines keep a text from being the answer', { timeout: 120_000 }, async () => {
    const lines = 'one\ntwo\n';
    const told = await retold(
      people,
      played.receipt,
      ({ subject }) => (subject[0]!.digest.sha256 = digestOf(utf8(lines))),
    );
    await writeFile(at('lines.json'), JSON.stringify(told));
    await writeFile(at('lines.txt'), lines.replaceAll('\n', '\r\n'));
    const { code, out } = await chorusVerify(at('lines.json'), '--answer', at('lines.txt'));
    expect([code, out]).toEqual([1, expect.stringMatching(/^FAILED +answer .*its lines end in CR LF/m)]);
  });

  it('takes no receipt file or policy for less than it is', { timeout: 120_000 }, async () => {
    await writeFile(at('twice.json'), JSON.stringify(played.receipt).replace('{', '{"proof":null,'));
    const twice = await chorusVerify(at('twice.json'));
    expect([twice.code, twice.out]).toEqual([1, expect.stringMatching(/^FAILED +format .*stands twice/m)]);
    await writeFile(
      at('octets.txt'),
      Buffer.concat([Buffer.from('# caf'), Buffer.of(0xe9, 0x0a), Buffer.from(policyOf(people))]),
    );
    const octets = await chorusVerify(at('receipt.json'), '--policy', at('octets.txt'), '--no-remember');
    expect([octets.code, octets.out]).toEqual([0, expect.stringMatching(/^ok +witnesses /m)]);
  });
});
