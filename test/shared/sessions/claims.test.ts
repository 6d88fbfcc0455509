import { describe, expect, it } from 'vitest';
import { fromBase64, toHex } from '#shared/bytes.ts';
import { parseClaim } from '#shared/credit/claim-codec.ts';
import { agreedPositions } from '#shared/credit/judge-claims.ts';
import { peerIdOf } from '#shared/crypto/identity.ts';
import type { Claims } from '#shared/requester/requester-event.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { checkedNetwork, prompt } from '../../support/checked-network.ts';
import { GREEDY, toyManifest } from '../../support/toy-model.ts';
import { toyVerify, type ToyNetwork } from '../../support/toy-network.ts';

type Recorded = Extract<PeerMessage, { type: 'recorded' }>;
const greedy = (promptTokens: readonly number[], maxNewTokens = 24) => ({
  ...{ promptTokens, maxNewTokens, sampling: GREEDY },
});

/** The server hears these in a conversation of these prompts. */
async function heardOf(network: ToyNetwork, ...prompts: readonly (readonly number[])[]) {
  const { control, requester } = network.requester();
  const conversation = requester.openConversation(network.model, { shadows: network.shadows });
  for (const each of prompts) await network.ask(conversation, greedy(each));
  conversation.close();
  await network.clock.advance(50);
  const sent = control.sent.filter(({ type }) => type === 'claims' || type === 'rest' || type === 'release');
  return { sent, claims: sent.filter((message): message is Claims => message.type === 'claims') };
}

const read = ({ claims }: Claims) => claims.map(({ claim }) => parseClaim(fromBase64(claim)));

describe('the claims of an answer’s replicas', () => {
  it('come to the server stage by stage before it hears that the answer is over, as the replicas signed them', async () => {
    const network = checkedNetwork();
    const { sent, claims } = await heardOf(network, prompt(40));
    expect(sent.map(({ type }) => type)).toEqual(['claims', 'claims', 'claims', 'rest', 'release']);
    const { session, stages } = network.routes[0]!;
    for (const [stage, message] of claims.entries()) {
      expect(message).toMatchObject({ session, stage });
      const { primary, shadows } = stages[stage]!;
      expect(message.claims.map(({ publicKey }) => peerIdOf(fromBase64(publicKey)))).toEqual([
        primary.id,
        shadows[0]!.id,
      ]);
      for (const { publicKey, claim, signature } of message.claims) {
        expect(await toyVerify(fromBase64(publicKey), fromBase64(claim), fromBase64(signature))).toBe(true);
      }
      const [one, other] = read(message).map((claim) => ({ claim, numericClass: 'wasm' }));
      expect(agreedPositions(one!, other!, toyManifest.config)).toEqual({ start: 0, end: one!.claim.positions });
    }
  });

  it('of a conversation are of what each answer added', async () => {
    const network = checkedNetwork();
    const { claims } = await heardOf(network, prompt(40), [...prompt(40), 5, 7, 9]);
    const [first, second] = [claims.slice(0, 3), claims.slice(3)].map((of) => of.flatMap(read));
    const end = first![0]!.positions;
    expect(first!.map(({ from, positions }) => [from, positions])).toEqual(first!.map(() => [0, end]));
    // The second prompt takes back the answer to the first.
    expect(second!.every(({ from, positions }) => from === 40 && positions > 40)).toBe(true);
  });

  it('of each stage have a seed of their own, so that an anchor in one stage cannot read those of another', async () => {
    const network = checkedNetwork();
    const { claims } = await heardOf(network, prompt(40), [...prompt(40), 5, 7, 9]);
    const seeds = claims.map((message) => new Set(read(message).map(({ seed }) => seed)));
    expect(seeds.map(({ size }) => size)).toEqual(claims.map(() => 1));
    expect(new Set(seeds.flatMap((of) => [...of])).size).toBe(6);
  });

  it('name neither the seed of their sketches nor a chain that is not salted', async () => {
    const network = checkedNetwork();
    const { claims } = await heardOf(network, prompt(40));
    const heard = claims.flatMap(({ claims: all }) => all.map(({ claim }) => toHex(fromBase64(claim)))).join(' ');
    const messages = network.links.log.map(({ message }) => message);
    const secrets = messages.flatMap((message) => {
      if (message.type === 'record') return [message.seed, message.salt];
      if (message.type !== 'commit') return [];
      const { inputTo, outputTo, shapes } = message.commit.statement;
      return [inputTo, outputTo, shapes];
    });
    expect(secrets.length).toBeGreaterThan(12);
    for (const secret of secrets) expect(heard).not.toContain(toHex(secret));
  });

  it('are not sent where there is nothing to hold them against', async () => {
    const network = checkedNetwork();
    network.shadows = 0;
    expect((await heardOf(network, prompt(40))).claims).toEqual([]);
  });

  it('of a stage whose other replica does not answer in time are left out, and those of the others are sent', async () => {
    const network = checkedNetwork();
    const silent = network.of(1)[1]!.id;
    network.links.fate = (message, from) => (message.type === 'recorded' && from === silent ? [] : [1]);
    const { sent, claims } = await heardOf(network, prompt(40));
    expect(claims.map(({ stage }) => stage)).toEqual([0, 2]);
    // Others were looked for who sign in its place, and what there was had nobody to check it.
    expect(sent.slice(2).map(({ type }) => type)).toEqual(['release', 'rest', 'release']);
  });

  it('are handed on unread: one that is wrong is no fault, and the server’s to find', async () => {
    const network = checkedNetwork();
    const { id } = network.of(1)[1]!;
    const spoil = (message: Recorded): Recorded => ({ ...message, claim: new Uint8Array(9) });
    network.links.rewrite = (message, from) => (message.type === 'recorded' && from === id ? spoil(message) : message);
    const { claims } = await heardOf(network, prompt(40));
    expect(claims.map(({ claims: all }) => all.map(({ claim }) => fromBase64(claim).length === 9))).toEqual([
      [false, false],
      [false, true],
      [false, false],
    ]);
  });

  it('go with a record that is refused', async () => {
    const network = checkedNetwork();
    const { id } = network.of(1)[1]!;
    network.links.rewrite = (message, from) =>
      message.type === 'recorded' && from === id
        ? { ...message, envelope: { ...message.envelope, payloadType: 'text/plain' } }
        : message;
    const { claims } = await heardOf(network, prompt(40));
    expect(claims.map(({ stage }) => stage)).toEqual([0, 2]);
  });
});
