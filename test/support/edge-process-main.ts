import { once } from 'node:events';
import { createServer } from 'node:http';
import { Socket, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createControlEdge } from '../../signal-server/control/control-edge.ts';
import { parseConfig } from '../../signal-server/machine/config.ts';
import { openKeyFile } from '../../signal-server/machine/key-file.ts';
import { createRepeater } from '../../signal-server/machine/repeater.ts';
import { systemClock, systemRandom } from '../../signal-server/machine/system-clock.ts';
import { HiddenFigures } from '../../signal-server/hidden/hidden-figures.ts';
import { createPipedEdgeEnd } from '../../signal-server/peer-router/piped-router.ts';
import { createMetrics } from '../../signal-server/view/metrics.ts';

/**
 * The sockets of a server, without its desks, which are at the other end of descriptor 4. Run by `fork` with the data
 * folder as argument: sends its port, and ends when its parent lets go.
 */
const dataFolder = process.argv[2]!;
const config = parseConfig({ dataFolder });
const onError = (error: unknown): void => void process.stderr.write(`${String(error)}\n`);
const server = createServer();
const edge = createControlEdge(server, {
  clock: systemClock,
  random: systemRandom,
  identity: await openKeyFile(join(dataFolder, 'server.key')),
  router: createPipedEdgeEnd(new Socket({ fd: 4 }), systemClock),
  metrics: createMetrics({
    volunteers: () => ({ idle: 0, loading: 0, ready: 0, paused: 0 }),
    running: () => 0,
    queued: () => 0,
    sockets: () => edge.open,
    suspended: () => 0,
    log: () => null,
    isStoreFailing: () => false,
    hidden: () => new HiddenFigures().shown,
  }),
  config,
  onError,
  onSocketAsked: () => undefined,
  onAdvice: () => undefined,
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
createRepeater(systemClock, onError).every(config.times.heartbeatMs, () => edge.beat());
process.once('disconnect', () => {
  const exit = (): void => process.exit();
  edge.close(1000).then(exit, exit);
});
process.send?.((server.address() as AddressInfo).port);
