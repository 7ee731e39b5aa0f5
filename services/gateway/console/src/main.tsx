/** Entry: takes a token that `mill console` handed over, then draws the console. */
import { render } from "preact";
import { App } from "./app";
import { place, placeOf } from "./routing";
import { takeHandedToken } from "./session";
import "./style.css";

takeHandedToken();
place.value = placeOf(location.hash);
const root = document.getElementById("console");
if (root) render(<App />, root);
