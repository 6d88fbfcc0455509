import { LoopbackChannel } from '../support/loopback-channel.ts';
import { describeChannel, type ChannelPair } from './channel-contract.ts';
import { describeLink } from './link-contract.ts';

function openPair(): Promise<ChannelPair> {
  const [a, b] = LoopbackChannel.pair();
  return Promise.resolve({ a, b, release: () => Promise.resolve() });
}

describeChannel('the in-memory pair', openPair);
describeLink('the in-memory pair', openPair);
