/** Entry: takes what a provider or `mill console` handed over, then draws the console. */
import { render } from "preact";
import { takeCode } from "./api/sign_in";
import { App } from "./app";
import { place, placeOf } from "./routing";
import { takeHandedToken } from "./session";
import "./style.css";

takeCode();
takeHandedToken();
place.value = placeOf(location.hash);
const root = document.getElementById("console");
if (root) render(<App />, root);
