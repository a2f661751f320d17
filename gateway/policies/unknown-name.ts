// One sentence for every name that another file should know and does not.
import { nearest, type Finding, type YamlFile } from '../../core/yaml-file.ts';

/** A finding for a name that is not known, with the nearest that is. */
export function unknownName(
  file: Pick<YamlFile<unknown>, 'finding'>,
  path: readonly PropertyKey[],
  { name, what, known }: { name: string; what: string; known: readonly string[] },
): Finding {
  const suggestion = nearest(name, known);
  return file.finding(path, `there is no ${what} "${name}"`, {
    code: 'unknown_reference',
    ...(suggestion === undefined ? {} : { suggestion }),
  });
}
