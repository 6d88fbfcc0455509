import { manifestSchema } from '#shared/model/manifest.ts';
import { startWholeStage } from '../../page/whole-stage.ts';
import type { Contender, Material } from '../contender.ts';

/** The whole model as one stage on the compute thread that a volunteer's tab has. */
export async function createChorus({ importedUrl, positions }: Material): Promise<Contender> {
  const manifest = manifestSchema.parse(await (await fetch(`${importedUrl}/manifest.json`)).json());
  const stage = await startWholeStage(manifest, `${importedUrl}/blobs`);
  let [length, first] = [0, 0];
  return {
    async read({ tokens }) {
      if (length > 0) await stage.close();
      await stage.open(positions);
      const startedMs = performance.now();
      first = (await stage.read(tokens)).token;
      length = tokens.length;
      return { ms: performance.now() - startedMs, token: first };
    },
    async goOn(count) {
      await stage.cut(length);
      const startedMs = performance.now();
      for (let i = 0, token = first; i < count; i++) token = (await stage.next(token, length + i)).token;
      return performance.now() - startedMs;
    },
  };
}
