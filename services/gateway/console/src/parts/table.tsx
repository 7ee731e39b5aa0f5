/** A table that a narrow screen scrolls sideways, also by keyboard. */
import type { ComponentChildren } from "preact";

interface TableProps {
  /** Id of the heading that says what is in it. */
  labelledBy: string;
  head: readonly string[];
  /** The rows. */
  children: ComponentChildren;
}

export function Table({ labelledBy, head, children }: TableProps) {
  return (
    <div class="overflow-auto" role="group" tabIndex={0} aria-labelledby={labelledBy}>
      <table>
        <thead>
          <tr>
            {head.map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
