/** Parts that show models alike on every page. */
import { addressOf } from "../routing";

export function VersionLink({ id }: { id: string }) {
  return (
    <a href={addressOf("models", id)}>
      <code>{id}</code>
    </a>
  );
}
